/** Identity providers: which there are, where somebody is sent, and the first passkey of who came through one. */
import type {
  FirstPasskey,
  IdentityAddition,
  IdentityProviderList,
  ProviderOptions,
} from "@trustwarden/core/api/identity-providers.ts";
import type { SessionAnswer } from "@trustwarden/core/api/people.ts";
import { redirectUriOf, requireProvider, verifySubject } from "../../console/oidc/proof.ts";
import { verifyNewPasskey, verifyWordOf } from "../../console/own-word.ts";
import { requirePlace } from "../../console/people.ts";
import { personOf } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { showSession } from "./people.ts";

export async function listProviders({ people }: Services): Promise<IdentityProviderList> {
  return { providers: people.providers.map(({ name, label }) => ({ name, label })) };
}

/**
 * The same for everybody. It keeps nothing: the nonce is known again by its MAC, and what began in a browser stays there.
 *
 * @throws TrustWardenError `not_found`, `identity_provider_unavailable`.
 */
export async function offerProviderOptions(
  services: Services,
  { name }: { readonly name: string },
): Promise<ProviderOptions> {
  const provider = requireProvider(services, name);
  const redirectUri = redirectUriOf(requirePlace(services), provider);
  const now = services.clock.trustedSeconds();
  const { challenge: nonce, expiresAt } = services.people.challenges.issue(`provider:${name}`, now);
  const url = await provider.authorizationUrl({ redirectUri, nonce, now });
  return { url, nonce, expires_at: expiresAt };
}

/** @throws TrustWardenError `sign_in_again`, `passkey_invalid`, `challenge_invalid`, `challenge_used`, `passkey_reused`, `key_reused`. */
export async function addFirstPasskey(
  services: Services,
  visit: Visit<FirstPasskey>,
): Promise<SessionAnswer> {
  const { personId, sessionSha256 } = personOf(visit.caller);
  const made = await verifyNewPasskey(services, visit.body.credential);
  const context = contextOf(services, visit);
  const change = { change: "add-first-passkey", personId, sessionSha256, ...made, context } as const;
  await services.ledger.settle(await services.commands.changePeople(change));
  return showSession(services, visit);
}

/**
 * A further provider of the same person. A session alone adds none, and neither does a provider: it takes a passkey's word for that
 * provider, so that a page that has a word for one adds no other.
 *
 * @throws TrustWardenError `passkey_invalid`, `challenge_invalid`, `challenge_used`, `identity_refused`, `identity_provider_unavailable`,
 *   `person_exists` for a subject that is somebody, `quota_exceeded`.
 */
export async function addIdentity(
  services: Services,
  visit: Visit<IdentityAddition>,
): Promise<SessionAnswer> {
  const { personId } = personOf(visit.caller);
  const { assertion: credential, ...word } = visit.body;
  const { assertion } = await verifyWordOf(services, credential, `add-identity:${word.provider}`);
  const subject = await verifySubject(services, word);
  const context = contextOf(services, visit);
  const change = { change: "add-identity", personId, subject, assertion, context } as const;
  await services.ledger.settle(await services.commands.changePeople(change));
  return showSession(services, visit);
}
