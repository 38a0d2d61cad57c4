/**
 * Keys of a ledger: one from its beginning, and another from each shard on whose predecessor named another.
 *
 * Where they lie is the server's (`server/log-keys.ts`); here is only what a ledger asks of them.
 *
 * @see docs/decisions/0093
 */
import type { PublicKey } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import { parseVkey } from "./signed-note.ts";

/** What a ledger's shards are signed with. */
export interface LogKeys {
  /** That of the ledger's name, and of its first log. It may sign nothing any more. */
  readonly first: PublicKey;
  /** What signs under a log's key. @throws TrustWardenError `signer_unavailable` for one that is not here. */
  signerOf(vkey: string): Signer;
}

/** A ledger whose shards all have one key. */
export function oneLogKey(signer: Signer): LogKeys {
  return {
    first: signer.publicKey,
    signerOf: (vkey) => {
      if (parseVkey(vkey).publicKey.equals(signer.publicKey)) return signer;
      throw new TrustWardenError("signer_unavailable", { reason: "the shard has another key" });
    },
  };
}
