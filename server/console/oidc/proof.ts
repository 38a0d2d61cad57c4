/**
 * Somebody who comes through an identity provider: who it is there becomes who it is here, by its subject at that issuer and by
 * nothing else. An address in a token makes nobody anybody (K6).
 *
 * It opens a session, as a passkey does. What a human signs is signed by a passkey all the same; whoever has none yet makes its
 * first one right after it came (`docs/decisions/0062`).
 */
import type { ProvidedWord, SubjectComing, SubjectLogin } from "@trustwarden/core/api/identity-providers.ts";
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { EnrolleeCaller, PersonCaller } from "../../http/caller.ts";
import type { Services } from "../../http/services.ts";
import type { UsedSubject } from "../../store/people-ports.ts";
import type { ConsolePlace } from "../people.ts";
import { requirePlace } from "../people.ts";
import { newSession, principalOf, sealComing } from "../session-proof.ts";
import type { IdentityProvider } from "./provider.ts";

const SECRET_BYTES = 32;

/** A provider of the configuration. @throws TrustWardenError `not_found`. */
export function requireProvider({ people }: Pick<Services, "people">, name: string): IdentityProvider {
  const provider = people.providers.find((known) => known.name === name);
  if (provider === undefined) throw new TrustWardenError("not_found", { kind: "identity provider" });
  return provider;
}

/** Where a provider sends people back to: one address each, so that no answer of one is taken for another's. */
export function redirectUriOf({ origin }: ConsolePlace, { name }: Pick<IdentityProvider, "name">): string {
  return `${origin}/app/signed-in/${name}`;
}

/**
 * Somebody with an invitation, whom a provider knows.
 *
 * @throws TrustWardenError `link_invalid`, `challenge_invalid`, `identity_refused`, `identity_provider_unavailable`, `address_refused`.
 */
export async function proveSubjectComing(
  services: Services,
  request: SubjectComing,
): Promise<EnrolleeCaller> {
  const { reads, clock, random } = services;
  const place = requirePlace(services);
  const now = clock.trustedSeconds();
  const linkSha256 = encodeBase64url(sha256(parseBase64url(request.link)));
  const link = reads.findLink({ linkSha256, now });
  // A first admin and whoever is recovered come with a passkey: what they may do begins with one.
  if (link?.kind !== "invitation")
    throw new TrustWardenError("link_invalid", { reason: "no open invitation" });
  const subject = await verifySubject(services, request);
  const secret = random(SECRET_BYTES);
  return {
    principal: { kind: "enrollee", via: "person-link", enrolmentId: linkSha256, thumbprint: null },
    intent: null,
    enrolment: {
      subject: {
        secret,
        command: {
          change: "register-subject",
          ...sealComing(services, link, request),
          subject,
          session: newSession(place, { secret, now }),
        },
      },
    },
  };
}

/**
 * A person by its subject at a provider, who is about to get a session.
 *
 * @throws TrustWardenError `challenge_invalid`, `identity_refused`, `identity_unknown`, `identity_provider_unavailable`,
 *   `session_invalid`.
 */
export async function proveSubjectLogin(services: Services, request: SubjectLogin): Promise<PersonCaller> {
  const { reads, clock, random } = services;
  const place = requirePlace(services);
  const now = clock.trustedSeconds();
  const subject = await verifySubject(services, request);
  const personId = reads.findSubject(subject);
  if (personId === undefined) throw new TrustWardenError("identity_unknown");
  const secret = random(SECRET_BYTES);
  const session = newSession(place, { secret, now });
  const principal = principalOf(services, reads.findPerson(personId), session.sessionSha256);
  return {
    principal,
    intent: null,
    opening: { secret, command: { change: "log-in-subject", personId, subject, session } },
  };
}

/**
 * Who somebody is at a provider, by what came back with its browser; the nonce is used up by the command.
 *
 * @throws TrustWardenError `challenge_invalid`, `identity_refused`, `identity_provider_unavailable`, `not_found`.
 */
export async function verifySubject(services: Services, word: ProvidedWord): Promise<UsedSubject> {
  const { people, clock } = services;
  const provider = requireProvider(services, word.provider);
  const now = clock.trustedSeconds();
  const challenge = people.challenges.verify(word.nonce, `provider:${provider.name}`, now);
  const subject = await provider.redeem({
    code: word.code,
    codeVerifier: word.code_verifier,
    issuer: word.iss,
    nonce: word.nonce,
    redirectUri: redirectUriOf(requirePlace(services), provider),
    now,
  });
  return { issuer: provider.issuer, subject: people.seal.digestOfSubject(subject), challenge };
}
