/**
 * An identity as files, for programs that take nothing else: each is replaced whole, and the key is its owner's alone.
 *
 * Certificate and key are two files, so a program that reads exactly between them sees a pair that does not match; it
 * has to try again, as it has to when a certificate is renewed under it.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import type { WorkloadX509State, WorkloadX509Svid } from "trustwarden";

const PRIVATE = 0o600;
const PUBLIC = 0o644;
const NAMES = ["svid.key", "svid.pem", "roots.pem"] as const;

/**
 * Writes `svid.key` (PKCS#8), `svid.pem` (leaf first) and `roots.pem`, the roots of the SVID's own trust domain and no
 * others: a program that takes one pool of roots would believe every one of them about every name.
 *
 * @throws TrustWardenError `usage` when the directory cannot be written to.
 */
export function writeIdentityFiles(
  directory: string,
  svid: WorkloadX509Svid,
  { bundles }: WorkloadX509State,
): void {
  const roots = bundles.get(trustDomainOf(svid.spiffeId))?.x509Authorities ?? [];
  const contents = {
    "svid.key": svid.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    "svid.pem": svid.chain.map((der) => formatPem("CERTIFICATE", der)).join(""),
    "roots.pem": roots.map(({ der }) => formatPem("CERTIFICATE", der)).join(""),
  };
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of NAMES) replaceFile(join(directory, name), contents[name], modeOf(name));
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw cannotWrite(directory, cause);
  }
}

/** Takes the files away; what was withdrawn is used by nobody. */
export function removeIdentityFiles(directory: string): void {
  for (const name of NAMES) rmSync(join(directory, name), { force: true });
}

/**
 * Replaces a file whole, or leaves it as it was.
 *
 * @throws TrustWardenError `usage`.
 */
export function replaceFile(path: string, content: string | Uint8Array, mode = PUBLIC): void {
  const next = `${path}.new`;
  try {
    // Made anew, so that it never has the mode of a file that was left behind.
    rmSync(next, { force: true });
    writeFileSync(next, content, { mode, flag: "wx" });
    renameSync(next, path);
  } catch (cause) {
    rmSync(next, { force: true });
    throw cannotWrite(path, cause);
  }
}

function modeOf(name: (typeof NAMES)[number]): number {
  return name === "svid.key" ? PRIVATE : PUBLIC;
}

function cannotWrite(path: string, cause: unknown): TrustWardenError {
  const next = "Name a place in a directory that you may write to.";
  return new TrustWardenError("usage", { why: `${path} cannot be written`, next }, { cause });
}
