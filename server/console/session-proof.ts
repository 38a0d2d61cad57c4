/**
 * Who is in front of the browser: a session's cookie, or what opens one.
 *
 * A session counts at the console's own listener and origin, and nowhere else: it is never taken where an SVID, an owner's
 * signature or the admin socket is asked for (A4), and none of those is taken here.
 */

import type { ComingRequest, LoginRequest } from "@trustwarden/core/api/people.ts";
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { formatThumbprint, parseP256PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { PersonPrincipal } from "@trustwarden/core/principal.ts";
import type { Arrival } from "../http/arrival.ts";
import type { EnrolleeCaller, PersonCaller } from "../http/caller.ts";
import type { GuardedRoute } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import type {
  LinkState,
  NewSession,
  PeopleCommand,
  PersonState,
  SessionState,
} from "../store/people-ports.ts";
import { digestOfSecret, readCookie, SESSION_COOKIE } from "./cookie.ts";
import { verifyNewPasskey, verifyWordOf } from "./own-word.ts";
import { type ConsolePlace, IDLE_SECONDS, requirePlace, SESSION_SECONDS } from "./people.ts";

/** Use is noted this often: a command of its own each time would make every look a write. */
const TOUCH_SECONDS = 60;
const SECRET_BYTES = 32;

/**
 * The person whose session came with the arrival.
 *
 * @throws TrustWardenError `no_session`, `session_invalid`, `request_cross_site`.
 */
export async function provePerson(
  services: Services,
  { headers }: Arrival,
  { isBackground }: Pick<GuardedRoute, "isBackground"> = {},
): Promise<PersonCaller> {
  const secret = readCookie(headers.cookie, SESSION_COOKIE);
  if (secret === undefined) throw new TrustWardenError("no_session");
  // A page of another site, or of nobody, may send the cookie along with a link; what it gets back it must not be.
  if (headers["sec-fetch-site"] !== "same-origin") throw new TrustWardenError("request_cross_site");
  const sessionSha256 = digestOfSecret(secret);
  const { session, principal } = requireSession(services, sessionSha256);
  const now = services.clock.trustedSeconds();
  const isDue = isBackground !== true && now - session.seenAt >= TOUCH_SECONDS;
  if (isDue) await services.commands.touchSession({ sessionSha256, now });
  return { principal, intent: null };
}

/**
 * A session that counts now, and whose it is.
 *
 * @throws TrustWardenError `session_invalid`.
 */
export function requireSession(
  services: Pick<Services, "reads" | "people" | "clock">,
  sessionSha256: string,
): { readonly session: SessionState; readonly principal: PersonPrincipal } {
  const { reads, people, clock } = services;
  const session = reads.findSession(sessionSha256);
  if (session === undefined) refuse("unknown or ended");
  const now = clock.trustedSeconds();
  if (now >= session.expiresAt) refuse("over");
  if (now >= session.seenAt + IDLE_SECONDS) refuse("idle");
  if (session.origin !== people.place()?.origin) refuse("another origin");
  // Whoever takes a provider out of the configuration trusts none of its words any more.
  const isProvided = session.via === "passkey" || isStillProvided(services, session.personId);
  if (!isProvided) refuse("its identity provider is not configured any more");
  const principal = principalOf(services, reads.findPerson(session.personId), sessionSha256);
  return { session, principal };
}

/**
 * Somebody with a link and a new passkey.
 *
 * @throws TrustWardenError `link_invalid`, `challenge_invalid`, `passkey_invalid`, `address_refused`.
 */
export async function proveComing(services: Services, request: ComingRequest): Promise<EnrolleeCaller> {
  const { reads, clock, random } = services;
  const place = requirePlace(services);
  const now = clock.trustedSeconds();
  const linkSha256 = encodeBase64url(sha256(parseBase64url(request.link)));
  const link = reads.findLink({ linkSha256, now });
  if (link === undefined) throw new TrustWardenError("link_invalid", { reason: "unknown, used or over" });
  const { passkey, challenge } = await verifyNewPasskey(services, request.credential);
  const secret = random(SECRET_BYTES);
  return {
    principal: {
      kind: "enrollee",
      via: "person-link",
      enrolmentId: linkSha256,
      thumbprint: formatThumbprint(parseP256PublicKey(passkey.spki)),
    },
    intent: null,
    enrolment: {
      person: {
        secret,
        command: {
          change: "register",
          ...sealComing(services, link, request),
          passkey,
          challenge,
          session: newSession(place, { secret, now }),
        },
      },
    },
  };
}

/** Who comes by a link, as it is kept; the address that the link is bound to goes before the given one. */
export function sealComing(
  { people, clock, random }: Pick<Services, "people" | "clock" | "random">,
  { linkSha256, personId: known, sealedAddress }: LinkState,
  given: Pick<ComingRequest, "name" | "address">,
): Pick<
  Extract<PeopleCommand, { readonly change: "register" }>,
  "linkSha256" | "personId" | "sealed" | "addressLook"
> {
  const personId = known ?? `prs_${formatUlid(clock.nowMs(), random)}`;
  const bound = sealedAddress === null ? null : people.seal.open(sealedAddress, linkSha256).address;
  const address = bound ?? given.address ?? null;
  const sealed = people.seal.seal({ name: given.name, address }, personId);
  return { linkSha256, personId, sealed, addressLook: people.seal.lookOf(address) };
}

/**
 * A person by an assertion of a passkey, who is about to get a session.
 *
 * @throws TrustWardenError `challenge_invalid`, `passkey_invalid`, `session_invalid`.
 */
export async function proveLogin(services: Services, request: LoginRequest): Promise<PersonCaller> {
  const { reads, clock, random } = services;
  const place = requirePlace(services);
  const now = clock.trustedSeconds();
  const { assertion, personId } = await verifyWordOf(services, request.credential, "log-in");
  const secret = random(SECRET_BYTES);
  const session = newSession(place, { secret, now });
  const principal = principalOf(services, reads.findPerson(personId), session.sessionSha256);
  return {
    principal,
    intent: null,
    opening: {
      secret,
      command: {
        change: "log-in",
        personId: principal.personId,
        assertion,
        session,
      },
    },
  };
}

/** A session that is about to be opened; its secret goes to the browser and nowhere else. */
export function newSession(
  { origin }: ConsolePlace,
  { secret, now }: { readonly secret: Uint8Array; readonly now: number },
): NewSession {
  const sessionSha256 = encodeBase64url(sha256(secret));
  return { sessionSha256, origin, expiresAt: now + SESSION_SECONDS };
}

function isStillProvided({ reads, people }: Pick<Services, "reads" | "people">, personId: string): boolean {
  const issuers = reads.listIssuersOf(personId);
  return people.providers.some(({ issuer }) => issuers.includes(issuer));
}

/** An owner that was revoked leaves the person what other roles it has. */
export function principalOf(
  { reads }: Pick<Services, "reads">,
  person: PersonState | undefined,
  sessionSha256: string,
): PersonPrincipal {
  if (person === undefined || person.endedAt !== null) refuse("no such person any more");
  const owner = person.ownerId === null ? undefined : reads.findOwner(person.ownerId);
  const isOwner = owner !== undefined && !owner.isRevoked && person.roles.includes("owner");
  const roles = person.roles.filter((role) => role !== "owner" || isOwner);
  // Who is to be an owner is one with its first passkey, and may come to make it.
  const isExpected = person.ownerId === null && person.roles.includes("owner");
  if (roles.length === 0 && !isExpected) refuse("no role");
  const ownerId = isOwner ? person.ownerId : null;
  return { kind: "person", personId: person.personId, roles, ownerId, sessionSha256 };
}

function refuse(reason: string): never {
  throw new TrustWardenError("session_invalid", { reason });
}
