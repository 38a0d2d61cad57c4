/** Which key of a log a promise is of, where that of its place did not sign it. */
import { verifyAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/**
 * Whether an earlier key of the log signed it: one that was replaced before the place which is promised, so that it says nothing of
 * the log, and much of whoever has that key.
 *
 * @param keys.key - of the place, under the ledger's name.
 * @param keys.before - of the log and of its shards that have ended.
 */
export function isOfKeyBefore(
  acknowledgement: string,
  { key, before }: { readonly key: string; readonly before: readonly string[] },
): boolean {
  const ledger = parseVkey(key).name;
  return before
    .map((vkey) => vkeyFor(vkey, ledger))
    .some((vkey) => vkey !== key && isSignedBy(acknowledgement, vkey));
}

/** Whether an error says that a text is no promise by the key it was held to. */
export function isNoPromise(error: unknown): boolean {
  return error instanceof TrustWardenError && error.code === "receipt_invalid";
}

function isSignedBy(acknowledgement: string, vkey: string): boolean {
  try {
    verifyAcknowledgement(acknowledgement, vkey);
    return true;
  } catch (error) {
    // Safe: it is refused either way, and this only says for what.
    if (isNoPromise(error)) return false;
    throw error;
  }
}
