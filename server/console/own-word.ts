/** The word of somebody, by a passkey: to log in, and for what a session alone does not allow. */
import type { AuthenticationResponse, RegistrationResponse } from "@trustwarden/core/api/people.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Services } from "../http/services.ts";
import type { NewPasskey, UsedAssertion, UsedChallenge } from "../store/people-ports.ts";
import type { PasskeyPurpose } from "./challenges.ts";
import { unverifiedChallengeOf, verifyAssertion, verifyRegistration } from "./passkeys.ts";
import { requirePlace } from "./people.ts";

type Needed = Pick<Services, "reads" | "people" | "clock">;

/**
 * An assertion over a challenge of ours, and whose passkey it is; the command asks again.
 *
 * @throws TrustWardenError `challenge_invalid`, `passkey_invalid`.
 */
export async function verifyWordOf(
  services: Needed,
  credential: AuthenticationResponse,
  purpose: PasskeyPurpose,
): Promise<{ readonly assertion: UsedAssertion; readonly personId: string }> {
  const challenge = unverifiedChallengeOf(credential.response.clientDataJSON);
  const used = services.people.challenges.verify(challenge, purpose, services.clock.trustedSeconds());
  const { asserted, personId } = await verifyAsserted(services, credential, challenge);
  return { assertion: { ...asserted, challenge: used }, personId };
}

/**
 * What a device says with its assertion of exactly this challenge, and whose passkey it is.
 *
 * @throws TrustWardenError `passkey_invalid`.
 */
export async function verifyAsserted(
  services: Pick<Services, "reads" | "people">,
  credential: AuthenticationResponse,
  challenge: string,
): Promise<{ readonly asserted: Omit<UsedAssertion, "challenge">; readonly personId: string }> {
  const passkey = services.reads.findPasskey(credential.id);
  if (passkey === undefined) throw new TrustWardenError("passkey_invalid", { reason: "unknown" });
  const verified = await verifyAssertion(credential, passkey, { ...requirePlace(services), challenge });
  const { credentialId, personId } = passkey;
  return { asserted: { credentialId, ...verified }, personId };
}

/** A new passkey over a challenge of ours. @throws TrustWardenError `challenge_invalid`, `passkey_invalid`. */
export async function verifyNewPasskey(
  services: Needed,
  credential: RegistrationResponse,
): Promise<{ readonly passkey: NewPasskey; readonly challenge: UsedChallenge }> {
  const challenge = unverifiedChallengeOf(credential.response.clientDataJSON);
  const used = services.people.challenges.verify(challenge, "register", services.clock.trustedSeconds());
  const passkey = await verifyRegistration(credential, { ...requirePlace(services), challenge });
  return { passkey, challenge: used };
}
