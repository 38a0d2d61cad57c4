/**
 * SoftHSM: a server whose keys are all made and used in a token that nobody here wrote, and OpenSSL on what it signs. A wrong
 * PIN or another token starts nothing.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { encodeDerSignature } from "@trustwarden/core/agentid/certificate-signature.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { createWorkloadApiClient, type WorkloadApiClient } from "trustwarden";
import { requireOutput, runCommand } from "./command.ts";
import { createDomain, formatPem } from "./domain.ts";
import {
  countVerdicts,
  type Findings,
  type Judge,
  JudgeUnavailable,
  type Lab,
  type Verdict,
} from "./judge.ts";
import { requireProgram } from "./tools.ts";
import { openWarden, type WardenServer } from "./workload/server.ts";

const TIMEOUT_MS = 60_000;
const MODULES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
const WARDEN = join(import.meta.dirname, "..", "cli", "main.ts");
const TOKEN = "interop";
const PIN = "2468";
/** A forced rotation is told over the feed. */
const ROTATION_TRIES = 100;
const ROTATION_PAUSE_MS = 100;

export const hsmJudge: Judge = { name: "softhsm", run: judgeHsm };

interface Token {
  readonly folder: string;
  readonly module: string;
  readonly env: Readonly<Record<string, string>>;
}

async function judgeHsm(lab: Lab): Promise<Findings> {
  const version = await requireProgram("softhsm2-util", ["--version"], "install softhsm2");
  await requireProgram("openssl", ["version"], "install OpenSSL 3");
  const token = await makeToken(lab);
  const signer = signerOf(token, { label: TOKEN, pin: PIN });
  const server = await openWarden({ signer, workloadApi: { witSvid: true } }, token.env);
  try {
    const verdicts = [
      ...(await judgeServer(lab, server)),
      await start(token, { name: "a wrong PIN", label: TOKEN, pin: "8642" }),
      await start(token, { name: "a token that is not there", label: "elsewhere", pin: PIN }),
    ];
    return countVerdicts(verdicts, `SoftHSM ${version.trim()}`);
  } finally {
    await server.close();
  }
}

async function makeToken({ scratch }: Lab): Promise<Token> {
  const module = MODULES.find((path) => existsSync(path));
  if (module === undefined) throw new JudgeUnavailable("SoftHSM's library is not where Debian puts it");
  const folder = join(scratch, "softhsm");
  mkdirSync(join(folder, "tokens"), { recursive: true, mode: 0o700 });
  const configuration = join(folder, "softhsm2.conf");
  const lines = [`directories.tokendir = ${join(folder, "tokens")}`, "objectstore.backend = file", ""];
  writeFileSync(configuration, lines.join("\n"));
  const env = { SOFTHSM2_CONF: configuration };
  const args = ["--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "1357"];
  await requireOutput("softhsm2-util", args, { timeoutMs: TIMEOUT_MS, env });
  return { folder, module, env };
}

function signerOf(
  { folder, module }: Token,
  { label, pin }: { readonly label: string; readonly pin: string },
): Readonly<Record<string, string>> {
  const pinFile = join(folder, `pin-${label}-${pin}`);
  writeFileSync(pinFile, `${pin}\n`, { mode: 0o600 });
  return { kind: "pkcs11", module, token: label, pinFile };
}

/** Issues, rotates and revokes; OpenSSL says what it makes of each. */
async function judgeServer(lab: Lab, server: WardenServer): Promise<readonly Verdict[]> {
  const client = createWorkloadApiClient({ socket: server.socket });
  const judge = createChainJudge(lab);
  try {
    const roots = await rootsOf(client);
    const before = await chainOf(client);
    const tokens = await judgeToken(lab, client);
    const first = await judge({ name: "an SVID", expected: "accept", chain: before, roots });
    await server.rotate();
    const after = await chainAfter(client, before);
    const crl = join(lab.scratch, "hsm-crl.pem");
    await server.warden("ca", "revoke", keyIdentifierOf(before));
    await server.warden("crl", "--pem", "--out", crl);
    const foreign = [createDomain("ours.test", Math.floor(Date.now() / 1000)).root.der];
    return [
      first,
      ...tokens,
      await judge({ name: "an SVID after a rotation", expected: "accept", chain: after, roots, crl }),
      await judge({ name: "an SVID of a revoked key", expected: "refuse", chain: before, roots, crl }),
      await judge({ name: "an SVID under another root", expected: "refuse", chain: after, roots: foreign }),
      noKeyInFiles(server),
    ];
  } finally {
    client.close();
  }
}

async function chainOf(client: WorkloadApiClient): Promise<readonly Uint8Array[]> {
  return (await client.fetchX509()).svids[0].chain;
}

async function rootsOf(client: WorkloadApiClient): Promise<readonly Uint8Array[]> {
  const [bundle] = (await client.fetchX509Bundles()).values();
  return bundle?.x509Authorities.map(({ der }) => der) ?? [];
}

/** The chain once another intermediate stands in it. @throws Error when that never comes. */
async function chainAfter(
  client: WorkloadApiClient,
  before: readonly Uint8Array[],
): Promise<readonly Uint8Array[]> {
  for (let attempt = 0; attempt < ROTATION_TRIES; attempt += 1) {
    const chain = await chainOf(client);
    if (keyIdentifierOf(chain) !== keyIdentifierOf(before)) return chain;
    await new Promise((resolve) => setTimeout(resolve, ROTATION_PAUSE_MS));
  }
  throw new Error("no SVID of the new intermediate came");
}

/** Of the key that signed the leaf, as `warden ca` names it. */
function keyIdentifierOf([leaf]: readonly Uint8Array[]): string {
  return encodeHex(parseCertificate(leaf ?? new Uint8Array()).aki ?? new Uint8Array());
}

function createChainJudge(lab: Lab) {
  let count = 0;
  return async (subject: {
    readonly name: string;
    readonly expected: "accept" | "refuse";
    /** Leaf first. */
    readonly chain: readonly Uint8Array[];
    readonly roots: readonly Uint8Array[];
    /** PEM file with a list for each certificate of the chain. */
    readonly crl?: string;
  }): Promise<Verdict> => {
    const { name, expected, chain, roots, crl } = subject;
    count += 1;
    const file = (part: string) => join(lab.scratch, `hsm-${count}-${part}.pem`);
    writeFileSync(file("leaf"), formatPem(chain.slice(0, 1)));
    writeFileSync(file("issuers"), formatPem(chain.slice(1)));
    writeFileSync(file("roots"), formatPem(roots));
    const trust = ["-no-CApath", "-no-CAstore", "-CAfile", file("roots"), "-untrusted", file("issuers")];
    const lists = crl === undefined ? [] : ["-crl_check_all", "-CRLfile", crl];
    const args = ["verify", "-x509_strict", ...trust, ...lists, file("leaf")];
    const { code, stderr, stdout } = await runCommand("openssl", args, { timeoutMs: TIMEOUT_MS });
    return { name, expected, isAccepted: code === 0, said: (stderr || stdout).trim().slice(0, 300) };
  };
}

/** OpenSSL on the signatures of a JWT-SVID and a WIT-SVID: as they are, and with one bit changed. */
async function judgeToken(lab: Lab, client: WorkloadApiClient): Promise<readonly Verdict[]> {
  const [jwt] = await client.fetchJwtSvids({ audience: ["https://interop.test"] });
  const [wit] = await client.fetchWitSvids();
  const [jwtBundle] = (await client.fetchJwtBundles()).values();
  const [witBundle] = (await client.fetchWitBundles()).values();
  const verdicts: Verdict[] = [];
  for (const [name, token, keys] of [
    ["a JWT-SVID", jwt?.svid ?? "", jwtBundle?.jwtAuthorities],
    ["a WIT-SVID", wit.svid, witBundle?.witAuthorities],
  ] as const) {
    const [key] = keys?.values() ?? [];
    const [header, payload, signature = ""] = token.split(".");
    const raw = Buffer.from(signature, "base64url");
    const file = (part: string) => join(lab.scratch, `hsm-${name.slice(2)}-${part}`);
    writeFileSync(file("key"), key?.export({ type: "spki", format: "pem" }) ?? "");
    writeFileSync(file("signature"), encodeDerSignature(raw));
    for (const expected of ["accept", "refuse"] as const) {
      writeFileSync(file("input"), `${header}.${payload}${expected === "accept" ? "" : "A"}`);
      const args = [
        "dgst",
        "-sha256",
        "-verify",
        file("key"),
        "-signature",
        file("signature"),
        file("input"),
      ];
      const { code, stdout, stderr } = await runCommand("openssl", args, { timeoutMs: TIMEOUT_MS });
      const said = (stderr || stdout).trim().slice(0, 300);
      const what = expected === "accept" ? name : `${name}, one letter more`;
      verdicts.push({ name: what, expected, isAccepted: code === 0, said });
    }
  }
  return verdicts;
}

/** What is in the token is in no file, however well sealed. */
function noKeyInFiles({ dataDir }: WardenServer): Verdict {
  const found = readdirSync(join(dataDir, "keys")).filter((name) =>
    /^(?:root|intermediate|jwt|wit)-.*\.key$/.test(name),
  );
  return {
    name: "a key outside of the token",
    expected: "refuse",
    isAccepted: found.length > 0,
    said: found.join(),
  };
}

/** A new server with what it is given to open the token. */
async function start(
  token: Token,
  { name, label, pin }: { readonly name: string; readonly label: string; readonly pin: string },
): Promise<Verdict> {
  const place = join(token.folder, name.replaceAll(" ", "-"));
  const [dataDir, configDir] = [join(place, "data"), join(place, "config")];
  mkdirSync(configDir, { recursive: true, mode: 0o700 });
  const settings = JSON.stringify({ signer: signerOf(token, { label, pin }) });
  writeFileSync(join(configDir, "server.json"), settings, { mode: 0o600 });
  const places = [
    "--data",
    dataDir,
    "--config-dir",
    configDir,
    "--port",
    "0",
    "--stop-port",
    "0",
    "--no-node",
  ];
  const { code, stderr, stdout, hasTimedOut } = await runCommand(
    process.execPath,
    [WARDEN, "up", ...places],
    {
      timeoutMs: TIMEOUT_MS,
      env: token.env,
      killWhen: /listening/,
    },
  );
  const isRefused = code !== 0 && !hasTimedOut && stderr.includes("signer_unavailable");
  return { name, expected: "refuse", isAccepted: !isRefused, said: (stderr || stdout).trim().slice(0, 300) };
}
