/** The identity that signs for git: the files that `warden svid write` keeps, or the Workload API of this host. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parsePemBlocks } from "@trustwarden/core/pem.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { createWorkloadApiClient } from "trustwarden";
import type { Io } from "../io.ts";

/** An SVID with its key, and the roots of its trust domain. */
export interface GitIdentity {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly signer: Signer;
  /** DER. */
  readonly roots: readonly Uint8Array[];
}

/**
 * The identity that the environment names: `TRUSTWARDEN_SVID_DIR`, otherwise `SPIFFE_ENDPOINT_SOCKET`.
 *
 * @throws TrustWardenError `usage` where there is none, and the codes of the Workload API.
 */
export async function openGitIdentity(io: Io): Promise<GitIdentity> {
  const directory = io.env.TRUSTWARDEN_SVID_DIR;
  if (directory !== undefined) return readFiles(directory);
  const address = io.env.SPIFFE_ENDPOINT_SOCKET;
  if (address !== undefined) return readWorkloadApi(address);
  throw new TrustWardenError("usage", {
    why: "no identity is at hand",
    next: "Run it under `warden run`, or keep one with `warden svid write --dir <dir>` and set TRUSTWARDEN_SVID_DIR.",
  });
}

function readFiles(directory: string): GitIdentity {
  try {
    const read = (name: string): string => readFileSync(join(directory, name), "utf8");
    return {
      chain: parsePemBlocks("CERTIFICATE", read("svid.pem")),
      signer: signerOf(createPrivateKey(read("svid.key"))),
      roots: parsePemBlocks("CERTIFICATE", read("roots.pem")),
    };
  } catch (cause) {
    throw new TrustWardenError("usage", { why: `${directory} holds no identity` }, { cause });
  }
}

async function readWorkloadApi(address: string): Promise<GitIdentity> {
  const client = createWorkloadApiClient({ socket: address });
  try {
    const { svids, bundles } = await client.fetchX509();
    const [{ spiffeId, chain, privateKey }] = svids;
    const roots = bundles.get(trustDomainOf(spiffeId))?.x509Authorities.map(({ der }) => der) ?? [];
    return { chain, signer: signerOf(privateKey), roots };
  } finally {
    client.close();
  }
}

function signerOf(key: KeyObject): Signer {
  return {
    algorithm: "ES256",
    publicKey: createPublicKey(key),
    sign: (data) => new Uint8Array(sign("sha256", data, { key, dsaEncoding: "ieee-p1363" })),
  };
}
