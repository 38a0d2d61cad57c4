/** pkilint on our revocation lists against RFC 5280, and OpenSSL on their signatures. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { OID } from "@trustwarden/core/agentid/certificate-oids.ts";
import { issueCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { encodeCrl } from "@trustwarden/core/agentid/certificate-revocation-list-der.ts";
import { encodeDerSignature } from "@trustwarden/core/agentid/certificate-signature.ts";
import {
  encodeExplicit,
  encodeImplicit,
  encodeInteger,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
} from "@trustwarden/core/agentid/der-writer.ts";
import { createSerial } from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { z } from "zod";
import { runCommand } from "./command.ts";
import { createDomain, type Domain, formatPem } from "./domain.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requirePkilint, requireProgram } from "./tools.ts";

const TIMEOUT_MS = 60_000;
const HOUR_SECONDS = 3600;
const ENTRIES = 2000;

const report = z.object({
  results: z.array(z.object({ finding_descriptions: z.array(z.object({ code: z.string() })) })),
});

export const crlJudge: Judge = { name: "revocation lists", run: judgeCrls };

interface Subject {
  readonly name: string;
  readonly expected: "accept" | "refuse";
  readonly der: Uint8Array;
}

async function judgeCrls(lab: Lab): Promise<Findings> {
  const bin = await requirePkilint(lab);
  const version = await requireProgram("openssl", ["version"], "install OpenSSL 3");
  const now = Math.floor(Date.now() / 1000);
  const domain = createDomain("acme.test", now);
  const other = createDomain("acme.test", now);
  const sound = soundLists(domain, now);
  const verdicts: Verdict[] = [];
  for (const subject of [...sound, ...brokenLists(domain, now)]) {
    verdicts.push(await lint(lab, bin, subject));
  }
  for (const { name, der } of sound) {
    verdicts.push(await verify(lab, domain, { name, expected: "accept", der }));
    verdicts.push(await verify(lab, other, { name: `${name}, another's`, expected: "refuse", der }));
    const flipped = Uint8Array.from(der);
    flipped[20] = (flipped[20] ?? 0) ^ 1;
    verdicts.push(
      await verify(lab, domain, { name: `${name}, one bit flipped`, expected: "refuse", der: flipped }),
    );
  }
  return countVerdicts(verdicts, `pkilint 0.13.0, ${version.split(" ").slice(0, 2).join(" ")}`);
}

function soundLists(domain: Domain, now: number): readonly Subject[] {
  const { root, intermediate, signers } = domain;
  const entry = () => ({
    serialHex: encodeHex(createSerial(randomBytes)),
    revokedAt: now - 60,
    reason: "privilege_withdrawn" as const,
  });
  const online = { ca: intermediate, signer: signers.intermediate, now, ttlSeconds: HOUR_SECONDS };
  const accept = (name: string, der: Uint8Array): Subject => ({ name, expected: "accept", der });
  return [
    accept("empty list", issueCertificateRevocationList({ ...online, number: 1, revoked: [] })),
    accept("list of one", issueCertificateRevocationList({ ...online, number: 128, revoked: [entry()] })),
    accept(
      `list of ${ENTRIES}`,
      issueCertificateRevocationList({
        ...online,
        number: 2 ** 40,
        revoked: Array.from({ length: ENTRIES }, entry),
      }),
    ),
    accept(
      "the root's list",
      issueCertificateRevocationList({
        ...online,
        ca: root,
        signer: signers.root,
        number: 2,
        revoked: [{ ...entry(), reason: "ca_compromise" }],
      }),
    ),
  ];
}

/** Properly signed, each with one fault; and once without, so that it is the fault that is seen. */
function brokenLists({ intermediate, signers }: Domain, now: number): readonly Subject[] {
  const algorithm = encodeSequence(encodeOid(OID.ecdsaWithSha256));
  const extension = (oid: string, value: Uint8Array) =>
    encodeSequence(encodeOid(oid), encodeOctetString(value));
  const good = {
    version: encodeInteger(Uint8Array.of(1)),
    algorithm,
    issuer: intermediate.subject,
    thisUpdate: encodeTime(now),
    nextUpdate: encodeTime(now + HOUR_SECONDS),
    entries: encodeSequence(
      encodeSequence(encodeInteger(createSerial(randomBytes)), encodeTime(now - HOUR_SECONDS)),
    ),
    aki: extension(OID.authorityKeyIdentifier, encodeSequence(encodeImplicit(0, intermediate.ski))),
    number: extension(OID.cRLNumber, encodeInteger(Uint8Array.of(7))),
  };
  const none = new Uint8Array();
  const of = (change: Partial<typeof good>): Uint8Array => {
    const { aki, number, ...parts } = { ...good, ...change };
    const tbs = encodeSequence(
      ...Object.values(parts).filter((part) => part.length > 0),
      encodeExplicit(0, encodeSequence(aki, number)),
    );
    return encodeCrl(tbs, encodeDerSignature(signers.intermediate.sign(tbs)));
  };
  const refuse = (name: string, change: Partial<typeof good>): Subject => ({
    name,
    expected: "refuse",
    der: of(change),
  });
  return [
    { name: "a forged list, not broken yet", expected: "accept", der: of({}) },
    refuse("list of version 1 with extensions", { version: none }),
    refuse("list without a next update", { nextUpdate: none }),
    refuse("list without a number", { number: none }),
    refuse("list that names no key", { aki: none }),
    refuse("list with an empty list of entries", { entries: encodeSequence() }),
    refuse("list without an issuer", { issuer: encodeSequence() }),
    refuse("list that ends before it begins", { nextUpdate: encodeTime(now - HOUR_SECONDS) }),
  ];
}

async function lint(lab: Lab, bin: string, { name, expected, der }: Subject): Promise<Verdict> {
  const file = join(lab.scratch, "lint.crl");
  writeFileSync(file, der);
  const rules = ["lint", "-t", "CRL", "-p", "PKIX", "-s", "NOTICE", "-f", "JSON"];
  const { stdout, stderr } = await runCommand(join(bin, "lint_crl"), [...rules, file], {
    timeoutMs: TIMEOUT_MS,
  });
  const codes = stdout.startsWith("{")
    ? report
        .parse(JSON.parse(stdout))
        .results.flatMap(({ finding_descriptions }) => finding_descriptions.map(({ code }) => code))
    : [stderr.trim().split("\n").at(-1) ?? "no report"];
  return { name: `pkilint: ${name}`, expected, isAccepted: codes.length === 0, said: codes.join(", ") };
}

async function verify(lab: Lab, domain: Domain, { name, expected, der }: Subject): Promise<Verdict> {
  const [list, authorities] = [join(lab.scratch, "verify.crl"), join(lab.scratch, "authorities.pem")];
  writeFileSync(list, der);
  writeFileSync(authorities, formatPem([domain.intermediate.der, domain.root.der]));
  const { code, stderr } = await runCommand(
    "openssl",
    ["crl", "-inform", "DER", "-in", list, "-noout", "-CAfile", authorities],
    { timeoutMs: TIMEOUT_MS },
  );
  const isAccepted = code === 0 && stderr.includes("verify OK");
  return { name: `openssl: ${name}`, expected, isAccepted, said: stderr.trim() };
}
