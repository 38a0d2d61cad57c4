/** The key of a class SVID, which goes with the key of an instance's SVID and never alone. */
import { verifyPossession } from "@trustwarden/core/agentid/possession.ts";
import type { RenewRequest } from "@trustwarden/core/api/identity.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import type { ProvenKey } from "../store/registration-ports.ts";

/**
 * Proves the class key for the document and under the nonce that the instance's key was proven for; that proof spends it.
 *
 * @throws TrustWardenError the `possession_` codes, `nonce_invalid`, `public_key_refused`.
 */
export function verifyClassKey(
  given: RenewRequest["class"],
  proven: { readonly enrolmentSha256: string; readonly nonce: string },
): ProvenKey | null {
  if (given === null) return null;
  const key = { spki: parseBase64url(given.spki), possession: given.possession };
  verifyPossession({ envelope: key.possession, spki: key.spki, ...proven });
  return key;
}
