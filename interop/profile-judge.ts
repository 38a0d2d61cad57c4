/** pkilint: whether our certificates keep to RFC 5280, one by one and each with its issuer. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  authorityExtensions,
  type Forgery,
  forge,
  leafExtensions,
} from "@trustwarden/core/agentid/certificate.test.support.ts";
import { OID } from "@trustwarden/core/agentid/certificate-oids.ts";
import {
  encodeExplicit,
  encodeImplicit,
  encodeInteger,
  encodeNamedBits,
  encodeOctetString,
  encodeSequence,
} from "@trustwarden/core/agentid/der-writer.ts";
import { keyIdentifierOf } from "@trustwarden/core/agentid/svid-profile-template.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { z } from "zod";
import { runCommand } from "./command.ts";
import { createDomain, type Domain, formatPem, issueSvid } from "./domain.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requirePkilint } from "./tools.ts";

const TIMEOUT_MS = 60_000;
const HOUR_SECONDS = 3600;

/** Findings that are let pass, each with its reason; any other finding from NOTICE up is a failure. */
const WAIVED: Readonly<Record<string, string>> = {
  "pkix.invalid_uri_syntax":
    "pkilint asks a library for web addresses, which knows no spiffe scheme; SPIFFE-ID §2 keeps to RFC 3986, and go-spiffe reads the same URI",
  "pkix.subject_key_identifier_rfc7093_method_1_identified":
    "informative: the method that we chose, for want of SHA-1",
};

const report = z.object({
  results: z.array(
    z.object({
      finding_descriptions: z.array(
        z.object({ severity: z.string(), code: z.string(), message: z.string().nullish() }),
      ),
    }),
  ),
});

export const profileJudge: Judge = { name: "pkilint 0.13.0", run: judgeProfile };

/** Certificates to lint: one, or an issuer and what it issued. */
export interface Subject {
  readonly name: string;
  readonly expected: "accept" | "refuse";
  readonly certificates: readonly Uint8Array[];
}

async function judgeProfile(lab: Lab): Promise<Findings> {
  const bin = await requirePkilint(lab);
  const now = Math.floor(Date.now() / 1000);
  const subjects = createSubjects(now);
  const verdicts = await Promise.all(subjects.map((subject, index) => lint(subject, { bin, lab, index })));
  return countVerdicts(verdicts, `${Object.keys(WAIVED).length} findings waived, with reasons`);
}

/** Ours, and forgeries of one fault each. @param now - Unix seconds. */
export function createSubjects(now: number): readonly Subject[] {
  const domain = createDomain("acme.test", now);
  return [...soundSubjects(domain, now), ...brokenSubjects(domain, now)];
}

function soundSubjects(domain: Domain, now: number): readonly Subject[] {
  const root = domain.root.der;
  const [leaf = new Uint8Array(), intermediate = new Uint8Array()] = issueSvid(
    domain,
    ["team", "pay", "inst-1"],
    now,
  ).chain;
  const accept = (name: string, ...certificates: readonly Uint8Array[]): Subject => ({
    name,
    expected: "accept",
    certificates,
  });
  return [
    accept("root", root),
    accept("intermediate", intermediate),
    accept("leaf", leaf),
    accept("root over itself", root, root),
    accept("root over intermediate", root, intermediate),
    accept("intermediate over leaf", intermediate, leaf),
    accept("forged leaf, not broken yet", forgeOne(domain, now, {})),
  ];
}

function brokenSubjects(domain: Domain, now: number): readonly Subject[] {
  const good = soundExtensions(domain);
  const empty = Uint8Array.of(0x30, 0);
  const others = Object.values(good).filter(({ oid }) => oid !== OID.keyUsage);
  const { basicConstraints, ...authority } = authorityExtensions([`spiffe://${domain.trustDomain}`]);
  const forged: readonly (readonly [string, Partial<Forgery>])[] = [
    ["leaf with serial 0", { serial: encodeInteger(Uint8Array.of(0)) }],
    ["leaf with a negative serial", { serial: Uint8Array.of(2, 1, 0x80) }],
    ["leaf of version 1 with extensions", { version: new Uint8Array() }],
    ["leaf with another version", { version: encodeExplicit(0, encodeInteger(Uint8Array.of(1))) }],
    ["leaf without any name that counts", { subject: empty }],
    ["leaf without an issuer", { issuer: empty }],
    [
      "leaf that may sign certificates",
      { extensions: [...others, { oid: OID.keyUsage, critical: true, value: encodeNamedBits(0, 5) }] },
    ],
    ["leaf with an extension twice", { extensions: [...Object.values(good), good.keyUsage] }],
    ["leaf that ends before it begins", { notAfter: now - HOUR_SECONDS }],
    [
      "authority with lax basic constraints",
      { extensions: [{ ...basicConstraints, critical: false }, ...Object.values(authority)] },
    ],
  ];
  const foreign = createDomain("other.test", now);
  const [leaf = new Uint8Array()] = issueSvid(domain, ["a"], now).chain;
  return [
    ...forged.map(([name, change]) => ({
      name,
      expected: "refuse" as const,
      certificates: [forgeOne(domain, now, change)],
    })),
    {
      name: "leaf behind another's issuer",
      expected: "refuse",
      certificates: [foreign.intermediate.der, leaf],
    },
  ];
}

/** A forged leaf with these has nothing to be found; the broken ones differ from it in one thing. */
function soundExtensions(domain: Domain) {
  const { ski } = domain.intermediate;
  const spki = encodeSpki(domain.signers.jwt.publicKey);
  return {
    ...leafExtensions([`spiffe://${domain.trustDomain}/a`]),
    subjectKeyIdentifier: { oid: OID.subjectKeyIdentifier, value: encodeOctetString(keyIdentifierOf(spki)) },
    authorityKeyIdentifier: {
      oid: OID.authorityKeyIdentifier,
      value: encodeSequence(encodeImplicit(0, ski)),
    },
  };
}

function forgeOne(domain: Domain, now: number, change: Partial<Forgery>): Uint8Array {
  return forge({
    spki: encodeSpki(domain.signers.jwt.publicKey),
    signer: domain.signers.intermediate,
    issuer: domain.intermediate.subject,
    notBefore: now - 10,
    notAfter: now + HOUR_SECONDS,
    extensions: Object.values(soundExtensions(domain)),
    ...change,
  });
}

async function lint(
  { name, expected, certificates }: Subject,
  { bin, lab, index }: { readonly bin: string; readonly lab: Lab; readonly index: number },
): Promise<Verdict> {
  const files = certificates.map((der, position) => {
    const file = join(lab.scratch, `profile-${index}-${position}.pem`);
    writeFileSync(file, formatPem([der]));
    return file;
  });
  const program = files.length === 1 ? "lint_pkix_cert" : "lint_pkix_signer_signee_cert_chain";
  const { stdout, stderr } = await runCommand(
    join(bin, program),
    ["lint", "-s", "INFO", "-f", "JSON", ...files],
    {
      timeoutMs: TIMEOUT_MS,
    },
  );
  const codes = stdout.startsWith("{") ? unwaived(stdout) : [stderr.trim().split("\n").at(-1) ?? "no report"];
  return { name, expected, isAccepted: codes.length === 0, said: codes.join(", ") || "nothing found" };
}

function unwaived(output: string): readonly string[] {
  const { results } = report.parse(JSON.parse(output));
  return results
    .flatMap(({ finding_descriptions }) => finding_descriptions)
    .filter(({ code }) => WAIVED[code] === undefined)
    .map(({ severity, code, message }) => `${code} (${severity}) ${message ?? ""}`.trim());
}
