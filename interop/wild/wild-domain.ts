/**
 * A real server with real agents, and what they have as files, as other people's programs want them.
 *
 * Each caller is one that a recipe has to tell from the others: a live agent, one of another class, one that has expired,
 * one that is revoked meanwhile, one that another authority of the same name certified with the same Subject.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { formatPem } from "@trustwarden/core/pem.ts";
import { createOwner, enrolAgent, type TestInstance, tlsOf } from "../../test/support/actors.ts";
import { send, sendAdmin } from "../../test/support/http.ts";
import { startTestServer, type TestServer } from "../../test/support/server.ts";
import { requireOutput } from "../command.ts";
import { createDomain, issueSvid } from "../domain.ts";

const OPENSSL_TIMEOUT_MS = 20_000;
const SHORT_TTL_SECONDS = 2;

/** Who calls, and whether they should get in. */
export const CALLERS = {
  live: "accept",
  "of another class": "refuse",
  expired: "refuse",
  foreign: "refuse",
  revoked: "refuse",
  anonymous: "refuse",
} as const;

export type Caller = keyof typeof CALLERS;

export interface WildDomain {
  readonly server: TestServer;
  /** Everything below lies in it; readable by every account, the keys by this one only. */
  readonly directory: string;
  /** Folder with `svid.pem` and `svid.key`. */
  readonly folderOf: (caller: Exclude<Caller, "anonymous">) => string;
  /** For the blocks of the guides. */
  readonly paths: {
    readonly roots: Readonly<Record<"/etc/trustwarden/roots.pem", string>>;
    readonly lists: Readonly<Record<"/etc/trustwarden/crl.pem", string>>;
    readonly serverCertificate: Readonly<Record<"/etc/ssl/tools/server.", string>>;
    readonly serverCa: Readonly<Record<"/etc/ssl/tools/ca.pem", string>>;
  };
  /** Revokes the one caller, and writes the lists anew. */
  revoke(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the server, makes the callers, and writes their files. Nobody is revoked yet. */
export async function createWildDomain(): Promise<WildDomain> {
  const directory = mkdtempSync(join(tmpdir(), "wild-"));
  chmodSync(directory, 0o755);
  const server = await startTestServer();
  try {
    await makeServerCertificate(directory);
    const doomed = await writeCallers(server, directory);
    await download(server, "/v1/bundle.pem", join(directory, "roots.pem"));
    await download(server, "/v1/crl.pem", join(directory, "crl.pem"));
    return describe(server, directory, doomed);
  } catch (error) {
    await close(server, directory);
    throw error;
  }
}

function describe(server: TestServer, directory: string, doomed: TestInstance): WildDomain {
  return {
    server,
    directory,
    folderOf: (caller) => folderOf(directory, caller),
    paths: {
      roots: { "/etc/trustwarden/roots.pem": join(directory, "roots.pem") },
      lists: { "/etc/trustwarden/crl.pem": join(directory, "crl.pem") },
      serverCertificate: { "/etc/ssl/tools/server.": join(directory, "server.") },
      serverCa: { "/etc/ssl/tools/ca.pem": join(directory, "ca.pem") },
    },
    revoke: async () => {
      const body = JSON.stringify({ target: { kind: "instance", id: doomed.answer.instance_id } });
      const request = { method: "POST", target: "/v1/revocations", body };
      const { status } = await sendAdmin(server.adminSocket, request);
      if (status !== 200) throw new Error(`the revocation was answered with ${status}`);
      await download(server, "/v1/crl.pem", join(directory, "crl.pem"));
    },
    close: () => close(server, directory),
  };
}

/** Replaces the agent's folder in a client's block; without one the block loses the options that name it. */
export function asCaller(wild: WildDomain, block: string, caller: Caller): string {
  if (caller !== "anonymous") return block.replaceAll("/etc/trustwarden/agent", wild.folderOf(caller));
  return block.replaceAll(
    /(?:--(?:cert|key) |ssl(?:cert|key)=|--ssl-(?:cert|key)=)\/etc\/trustwarden\/agent\/svid\.(?:pem|key)/g,
    "",
  );
}

async function download(server: TestServer, target: string, file: string): Promise<void> {
  const { status, bytes } = await send(server.url, { target });
  if (status !== 200) throw new Error(`${target}: ${status}`);
  writeFileSync(file, bytes, { mode: 0o644 });
}

/** Returns the one that is to be revoked. */
async function writeCallers(server: TestServer, directory: string): Promise<TestInstance> {
  const owner = await createOwner(server);
  const who = { path: "team/finance", name: "payment-agent" };
  const expired = await enrolAgent(server, owner, { ...who, ttlSeconds: SHORT_TTL_SECONDS });
  const revoked = await enrolAgent(server, owner, who);
  const callers: Readonly<Record<string, TestInstance>> = {
    live: await enrolAgent(server, owner, who),
    "of another class": await enrolAgent(server, owner, { ...who, name: "reporter" }),
    expired,
    revoked,
  };
  for (const [caller, { tls }] of Object.entries(callers)) writeIdentity(directory, caller, tls);
  const now = Math.floor(Date.now() / 1000);
  const foreign = issueSvid(
    createDomain("acme.test", now),
    ["team", "finance", "payment-agent", "inst-1"],
    now,
  );
  writeIdentity(directory, "foreign", tlsOf(foreign.signer, foreign.chain));
  // OpenSSL counts the last second of a certificate as valid.
  await setTimeout(Math.max(0, (expired.answer.svid_expires_at + 2) * 1000 - Date.now()));
  return revoked;
}

function writeIdentity(directory: string, caller: string, tls: TestInstance["tls"]): void {
  const folder = folderOf(directory, caller);
  mkdirSync(folder);
  writeFileSync(join(folder, "svid.pem"), rewrapped(tls.cert));
  writeFileSync(join(folder, "svid.key"), tls.key, { mode: 0o600 });
}

/** Some readers take no line of more than 76 characters. */
function rewrapped(pem: string): string {
  return [...pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g)]
    .map(([, base64 = ""]) => formatPem("CERTIFICATE", Buffer.from(base64, "base64")))
    .join("");
}

function folderOf(directory: string, caller: string): string {
  return join(directory, caller.replaceAll(" ", "-"));
}

/** An ordinary certificate for `localhost`, as every server has one that knows nothing of SPIFFE. */
async function makeServerCertificate(directory: string): Promise<void> {
  const file = (name: string) => join(directory, name);
  const openssl = (...args: readonly string[]) =>
    requireOutput("openssl", args, { timeoutMs: OPENSSL_TIMEOUT_MS });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(
    ...["req", "-x509", ...key, "-keyout", file("ca.key"), "-out", file("ca.pem"), "-days", "1"],
    ...["-subj", "/CN=Tools CA"],
  );
  await openssl(
    ...["req", "-x509", ...key, "-keyout", file("server.key"), "-out", file("server.pem"), "-days", "1"],
    ...["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-subj", "/CN=localhost"],
    ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ...["-addext", "basicConstraints=critical,CA:FALSE"],
  );
}

async function close(server: TestServer, directory: string): Promise<void> {
  await server.close();
  server.home.remove();
  rmSync(directory, { recursive: true, force: true });
}
