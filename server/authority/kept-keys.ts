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
import type { Random } from "@trustwarden/core/id.ts";
import { writePrivateFile } from "../signer/private-file.ts";
import { readSealedFile } from "../signer/sealed-file.ts";
import { openUnsealKey } from "../signer/unseal-key.ts";
import type { KeptKeyPlace, SigningKey, TakeKept } from "../store/authority-ports.ts";

/** For the thread that signs. The unseal key is read when there is something to open. */
export function createTakeKept(place: KeptKeyPlace, random: Random): TakeKept {
  const taken = new Set<string>();
  return (kept) => {
    const found = new Map<string, SigningKey>();
    for (const { id, kind, sealed } of kept.filter((key) => !taken.has(key.id))) {
      const path = join(place.dataDir, "keys", `${kind}-${id}.key`);
      if (!existsSync(path)) writePrivateFile(path, sealed);
      taken.add(id);
      // A root signs in the other thread, which finds the file.
      if (kind === "root") continue;
      const unsealKey = openUnsealKey({ ...place, create: false, random });
      const pkcs8 = readSealedFile({ path, purpose: `${kind}-key`, unsealKey });
      found.set(id, { kind: "sealed", pkcs8 });
    }
    return found;
  };
}
