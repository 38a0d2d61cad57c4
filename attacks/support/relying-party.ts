/** A relying party that knows nothing but the standards: OpenSSL with the published lists, and a token with its bit. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { getListFromStatusListJWT, getStatusListFromJWT } from "@sd-jwt/jwt-status-list";
import { call } from "./client.ts";
import type { World } from "./world.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 10_000;

/** What OpenSSL says of a chain, with every list of it checked: `OK`, or why not. @param pem - leaf first. */
export async function judgeCertificate(world: World, pem: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "tw-relying-"));
  const file = (name: string) => join(directory, name);
  try {
    writeFileSync(file("svid.pem"), pem);
    writeFileSync(file("roots.pem"), await read(world, "/v1/bundle.pem"));
    writeFileSync(file("crl.pem"), await read(world, "/v1/crl.pem"));
    const trust = ["-CAfile", file("roots.pem"), "-untrusted", file("svid.pem"), "-CRLfile", file("crl.pem")];
    const { stdout } = await run("openssl", ["verify", ...trust, "-crl_check_all", file("svid.pem")], {
      timeout: TIMEOUT_MS,
    });
    return stdout.trim().endsWith(": OK") ? "OK" : stdout.trim();
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    if (said.includes("certificate revoked")) return "revoked";
    throw new Error(`openssl verify: ${said}`, { cause: error });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The bit of a token in the list that it names: 0 is good, 1 is void. */
export async function statusOf(world: World, svid: string): Promise<number> {
  const { idx, uri } = getStatusListFromJWT(svid);
  return getListFromStatusListJWT(await read(world, new URL(uri).pathname)).getStatus(idx);
}

async function read(world: World, target: string): Promise<string> {
  const answer = await call(world.server.url, { target });
  if (answer.status !== 200) throw new Error(`${target}: ${answer.status}`);
  return answer.text;
}
