/**
 * Keys of the authority that another server made: they come sealed, with the state that names them, and are laid beside the
 * keys that this server has, where the next start finds them.
 *
 * They are sealed under the unseal key, which each of the servers has in a file and the store has not. What is sealed is bound to
 * the name of its file, so that nobody who can write the store puts one key in another's place.
 *
 * @see docs/decisions/0081
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { writePrivateFile } from "../signer/private-file.ts";
import { openSealedBytes } from "../signer/sealed-file.ts";
import { openUnsealKey } from "../signer/unseal-key.ts";
import type { KeptKey, KeptKeyPlace, SigningKey, TakeKept } from "../store/authority-ports.ts";

/** As slots are named; whatever else stands in the store names no file here. */
const SLOT_ID = /^[0-9a-f]{40}$/;

/**
 * For the thread that signs. The unseal key is read when there is something to open.
 *
 * What it gives throws TrustWardenError `seal_broken` for a key that was not sealed for its place; no file is left of it.
 */
export function createTakeKept(place: KeptKeyPlace, random: Random): TakeKept {
  const taken = new Set<string>();
  const take = ({ id, kind, sealed }: KeptKey): SigningKey => {
    if (!SLOT_ID.test(id)) throw new TrustWardenError("seal_broken", { reason: "the name of its slot" });
    const path = join(place.dataDir, "keys", `${kind}-${id}.key`);
    const unsealKey = openUnsealKey({ ...place, create: false, random });
    const pkcs8 = openSealedBytes(sealed, { path, purpose: `${kind}-key`, unsealKey });
    if (!existsSync(path)) writePrivateFile(path, sealed);
    taken.add(id);
    return { kind: "sealed", pkcs8 };
  };
  return (kept) =>
    new Map(
      kept
        .filter(({ id }) => !taken.has(id))
        .map((key) => [key, take(key)] as const)
        // A root signs in the other thread, which finds the file.
        .filter(([{ kind }]) => kind !== "root")
        .map(([{ id }, signing]) => [id, signing] as const),
    );
}
