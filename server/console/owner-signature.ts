/**
 * By what an owner signed a document: its key's file, or a passkey of the person who it is.
 *
 * A passkey counts at the console's own origin. What only a transaction can say of an assertion, that it counts once and
 * that the device's count rose, is the business of the command that the document allows.
 */
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { type PublicKey, parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { encodePae, parseEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { challengeOf, type OwnerKey, readAuthenticatorData } from "@trustwarden/core/passkey.ts";
import type { Services } from "../http/services.ts";
import { importKeyOnce } from "../imported-keys.ts";
import type { PasskeyState, UsedAssertion } from "../store/people-ports.ts";
import type { OwnerState } from "../store/ports.ts";
import { requirePlace } from "./people.ts";

type SignatureServices = Pick<Services, "reads" | "people">;

/** What would prove a document to be an owner's. */
export interface UnverifiedSignature {
  readonly key: OwnerKey;
  /** What the transaction has to take once the key has verified; null for a file's key. */
  readonly assertion: (Omit<UsedAssertion, "challenge"> & { readonly challengeId: string }) | null;
}

/**
 * The key that must verify a document which an owner signed some time ago, wherever the console was then.
 *
 * @throws TrustWardenError `owner_unknown`, `signature_invalid` for a passkey that is not the owner's, and as `fileKeyOf`.
 */
export function findOwnerKey(
  { reads }: Pick<Services, "reads">,
  ownerId: string,
  envelope: string,
): OwnerKey {
  const { assertion, unverifiedKeyid } = parseEnvelope(envelope);
  const owner = reads.findOwner(ownerId);
  if (owner === undefined) throw new TrustWardenError("owner_unknown");
  if (assertion === null) return fileKeyOf(owner);
  const { publicKey } = requirePasskey({ reads }, ownerId, unverifiedKeyid);
  return { publicKey, rpId: null, origin: null };
}

/**
 * The key of a file that signs for an owner.
 *
 * @throws TrustWardenError `signature_invalid` for an owner whose key is a device's, also one that was taken away: a copy of it
 *   signs nothing that no human was asked for.
 */
export function fileKeyOf({ spki }: OwnerState): PublicKey {
  if (spki === null) throw new TrustWardenError("signature_invalid", { reason: "form of the signature" });
  return importKeyOnce(spki);
}

/**
 * What must verify a document that an owner signed just now, at this console if it was by a passkey.
 *
 * @throws TrustWardenError as `findOwnerKey`; `passkey_invalid`.
 */
export function findOwnerSignature(
  services: SignatureServices,
  ownerId: string,
  envelope: string,
): UnverifiedSignature {
  const { assertion, unverifiedKeyid, payload, payloadType } = parseEnvelope(envelope);
  if (assertion === null) return { key: findOwnerKey(services, ownerId, envelope), assertion: null };
  const { passkey, publicKey } = requirePasskey(services, ownerId, unverifiedKeyid);
  const { rpId, origin } = requirePlace(services);
  const device = readAuthenticatorData(assertion.authenticatorData);
  // Whether a key may be copied is said when it is made and never changes (WebAuthn §6.1.3).
  if (device.isBackupEligible !== passkey.isBackupEligible) {
    throw new TrustWardenError("passkey_invalid", { reason: "backup eligibility" });
  }
  const { credentialId } = passkey;
  const { counter, isBackedUp } = device;
  const challengeId = challengeOf(encodePae(payloadType, payload));
  return {
    key: { publicKey, rpId, origin },
    assertion: { credentialId, counter, isBackedUp, challengeId },
  };
}

/** What the transaction is to take, for a document that ends then. @param expiresAt - Unix seconds. */
export function usedAssertionOf({ assertion }: UnverifiedSignature, expiresAt: number): UsedAssertion | null {
  if (assertion === null) return null;
  const { challengeId, ...used } = assertion;
  return { ...used, challenge: { id: challengeId, expiresAt } };
}

function requirePasskey({ reads }: Pick<Services, "reads">, ownerId: string, keyid: string) {
  const found = reads
    .listOwnerPasskeys(ownerId)
    .map((passkey: PasskeyState) => ({ passkey, publicKey: parseP256PublicKey(passkey.spki) }))
    .find(({ publicKey }) => formatOwnerKeyid(publicKey) === keyid);
  if (found === undefined) throw new TrustWardenError("signature_invalid", { reason: "passkey of another" });
  return found;
}
