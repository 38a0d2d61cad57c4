/** People come in, log in and out, and are invited. */
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import type { SignedOut } from "@trustwarden/core/api/identity-providers.ts";
import type { LinkAnswer, LinkRequest, PasskeyOptions, SessionAnswer } from "@trustwarden/core/api/people.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { parseP256PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PersonPrincipal } from "@trustwarden/core/principal.ts";
import type { Role } from "@trustwarden/core/role.ts";
import type { PasskeyPurpose } from "../../console/challenges.ts";
import { standingBehind } from "../../console/confirm.ts";
import { formatCookie, SESSION_COOKIE } from "../../console/cookie.ts";
import type { IdentityProvider } from "../../console/oidc/provider.ts";
import { ES256, formatUserHandle } from "../../console/passkeys.ts";
import {
  IDLE_SECONDS,
  INVITATION_SECONDS,
  LINK_SECONDS,
  requirePlace,
  SESSION_SECONDS,
} from "../../console/people.ts";
import { requireSession } from "../../console/session-proof.ts";
import type { LinkKind, LinkState } from "../../store/people-ports.ts";
import { comingOf, openingOf, personOf } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import type { HeadedAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";

const OPTIONS_TIMEOUT_MS = 300_000;
const SECRET_BYTES = 32;
/** Who sets a place up both runs it and answers for its first agents. */
const FIRST_ROLES: readonly Role[] = ["owner", "admin"];

/** Names nobody, so that nobody learns who is here (A8). */
export async function offerPasskeyOptions(
  services: Services,
  { purpose }: { readonly purpose: PasskeyPurpose },
): Promise<PasskeyOptions> {
  const { rpId } = requirePlace(services);
  const now = services.clock.trustedSeconds();
  const { challenge } = services.people.challenges.issue(purpose, now);
  const common = { challenge, timeout: OPTIONS_TIMEOUT_MS };
  if (purpose !== "register") return { ...common, rpId, allowCredentials: [], userVerification: "required" };
  const handle = formatUserHandle(encodeBase64url(services.random(16)));
  return {
    ...common,
    rp: { id: rpId, name: "TrustWarden" },
    user: { id: handle, name: "TrustWarden", displayName: "TrustWarden" },
    pubKeyCredParams: [{ type: "public-key", alg: ES256 }],
    authenticatorSelection: {
      residentKey: "required",
      requireResidentKey: true,
      userVerification: "required",
    },
    attestation: "none",
  };
}

/** @throws TrustWardenError `link_invalid`, `challenge_used`, `passkey_reused`, `person_exists`. */
export async function come(services: Services, visit: Visit): Promise<HeadedAnswer> {
  const { secret, command } = comingOf(visit.caller);
  const context = contextOf(services, visit);
  await services.ledger.settle(await services.commands.changePeople({ ...command, context }));
  return opened(services, secret);
}

/** @throws TrustWardenError `challenge_used`, `passkey_invalid`, `session_invalid`. */
export async function logIn(services: Services, visit: Visit): Promise<HeadedAnswer> {
  const { secret, command } = openingOf(visit.caller);
  const context = contextOf(services, visit);
  await services.ledger.settle(await services.commands.changePeople({ ...command, context }));
  return opened(services, secret);
}

export async function showSession(services: Services, visit: Visit): Promise<SessionAnswer> {
  return formatSession(services, personOf(visit.caller).sessionSha256);
}

/** Takes the cookie away, and whatever the browser keeps of this origin. */
export async function logOut(services: Services, visit: Visit): Promise<HeadedAnswer> {
  const { sessionSha256 } = personOf(visit.caller);
  const provider = providerOf(services, personOf(visit.caller));
  const context = contextOf(services, visit);
  const ended = await services.commands.changePeople({ change: "log-out", sessionSha256, context });
  await services.ledger.settle(ended);
  const place = { origin: requirePlace(services).origin, now: services.clock.trustedSeconds() };
  const elsewhere = (await provider?.signOutUrl(place)) ?? null;
  return {
    isHeaded: true,
    headers: { "set-cookie": formatCookie(SESSION_COOKIE, "", 0), "clear-site-data": '"cache", "storage"' },
    body: { ended: true, elsewhere } satisfies SignedOut,
  };
}

/** By whose word a session was opened; that provider goes on, and would open the next one here unasked. */
function providerOf(
  { reads, people }: Services,
  { personId, sessionSha256 }: PersonPrincipal,
): IdentityProvider | undefined {
  if (reads.findSession(sessionSha256)?.via !== "oidc") return undefined;
  const issuers = reads.listIssuersOf(personId);
  return people.providers.find(({ issuer }) => issuers.includes(issuer));
}

/** @throws TrustWardenError `person_exists`, `not_found`, `address_refused`. */
export async function createLink(services: Services, visit: Visit<LinkRequest>): Promise<LinkAnswer> {
  const { people, commands, ledger, clock, random } = services;
  const { body } = visit;
  const secret = random(SECRET_BYTES);
  const linkSha256 = encodeBase64url(sha256(secret));
  const kind = kindOf(services, body);
  const roles = body.person === undefined ? (body.roles ?? FIRST_ROLES) : rolesOf(services, body.person);
  const now = clock.trustedSeconds();
  const { address } = body;
  const link: LinkState = {
    linkSha256,
    kind,
    roles,
    personId: body.person ?? null,
    ownerId: body.owner ?? null,
    organizationId: body.organization ?? null,
    createdBy: standingBehind(services, visit),
    sealedAddress: address === undefined ? null : people.seal.seal({ name: "", address }, linkSha256),
    expiresAt: now + (kind === "invitation" ? INVITATION_SECONDS : LINK_SECONDS),
  };
  requireFitting(link);
  const addressLook = people.seal.lookOf(address ?? null);
  const context = contextOf(services, visit);
  await ledger.settle(await commands.changePeople({ change: "create-link", link, addressLook, context }));
  return { link: encodeBase64url(secret), kind, roles: [...roles], expires_at: link.expiresAt };
}

function kindOf({ reads }: Services, { person, roles }: LinkRequest): LinkKind {
  if (person !== undefined) return "recovery";
  if (roles !== undefined) return "invitation";
  // Only where nobody is an admin yet is there something that a link without roles can mean.
  if (reads.countPeople("admin") > 0) throw new TrustWardenError("request_malformed", { reason: "roles" });
  return "first";
}

function rolesOf({ reads }: Services, personId: string): readonly Role[] {
  const person = reads.findPerson(personId);
  if (person === undefined || person.endedAt !== null) throw new TrustWardenError("not_found");
  return person.roles;
}

/** An invitation says what for; an owner is somebody with that role. */
function requireFitting({ roles, ownerId, personId }: LinkState): void {
  const isForOwner = ownerId === null || (roles.includes("owner") && personId === null);
  if (!isForOwner) throw new TrustWardenError("request_malformed", { reason: "owner" });
}

function opened(services: Services, secret: Uint8Array): HeadedAnswer {
  const cookie = formatCookie(SESSION_COOKIE, encodeBase64url(secret), SESSION_SECONDS);
  const body = formatSession(services, encodeBase64url(sha256(secret)));
  return { isHeaded: true, headers: { "set-cookie": cookie }, body };
}

function formatSession(services: Services, sessionSha256: string): SessionAnswer {
  const { session, principal } = requireSession(services, sessionSha256);
  const person = services.reads.findPerson(principal.personId);
  if (person === undefined) throw new TrustWardenError("session_invalid");
  const passkeys = services.reads.listPasskeys(principal.personId);
  return {
    person_id: principal.personId,
    name: services.people.seal.open(person.sealed, person.personId).name,
    roles: [...principal.roles],
    owner_id: principal.ownerId,
    organizations: services.reads
      .listMembershipsOf(principal.personId)
      .map(({ organizationId, name, role }) => ({ organization_id: organizationId, name, role })),
    via: session.via,
    opened_at: session.openedAt,
    expires_at: session.expiresAt,
    idle_seconds: IDLE_SECONDS,
    passkeys: passkeys.map(({ credentialId, spki, createdAt, lastUsedAt, isBackedUp }) => ({
      credential_id: credentialId,
      keyid: formatOwnerKeyid(parseP256PublicKey(spki)),
      created_at: createdAt,
      last_used_at: lastUsedAt,
      backed_up: isBackedUp,
    })),
  };
}
