/**
 * Enrolment documents: who may create whom. An owner signs a ticket for an agent, the server signs a ticket for a
 * verifier that an operator approved, a live parent signs a grant for its child.
 *
 * These are wire shapes, so members are named as they are signed. Whether a document was used before, whether its
 * signer is alive and whether its scope is within the parent's is state, and so the business of the store; the text
 * values that carry documents between processes are in `enrolment-value.ts`.
 *
 * @see ARCHITECTURE.md, "Enrolment"
 */
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { encodeSpki, sha256 } from "../crypto.ts";
import {
  draftEnvelope,
  type EnvelopeDraft,
  issueEnvelope,
  parseEnvelope,
  parseUnverifiedPayload,
  payloadTypeOf,
  signDraft,
  verifyEnvelope,
} from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import { encodeCanonicalJson, type JsonObject } from "../json.ts";
import { type OwnerKey, publicKeyOf } from "../passkey.ts";
import type { Scope } from "../scope.ts";
import type { Signer } from "../signer.ts";
import type { Limits } from "./delegation.ts";
import {
  type MalformedCode,
  readLimits,
  readOwnerId,
  readScope,
  readSpiffeId,
  readTtlSeconds,
  readUlid,
  type SignedLimits,
} from "./enrolment-members.ts";
import { parseAgentLabel, parseVerifierName } from "./names.ts";
import { formatSpiffeId, instanceIdOf, type SpiffeId, type TrustDomain } from "./spiffe-id.ts";

/** How far the signer's clock may run ahead of ours. */
const CLOCK_SKEW_SECONDS = 30;
/** A ticket is a bearer secret until it is used: one that leaks must die. */
const MAX_TICKET_SECONDS = 2_592_000;
/** A grant is made for a child that is waiting for it. */
export const MAX_GRANT_SECONDS = 60;

/** Signed by an owner's key: one agent of this place and name may be enrolled once. */
export interface Ticket {
  readonly v: 1;
  readonly kind: "agent";
  /** ULID; single use. */
  readonly jti: string;
  /** SPIFFE ID of the trust domain. */
  readonly aud: string;
  /** Unix seconds. */
  readonly iat: number;
  /** Unix seconds. */
  readonly exp: number;
  /** `own_<ulid>` */
  readonly owner: string;
  /** Segments joined by `/`, empty for none. */
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  /** Lifetime of the instance. */
  readonly ttl_seconds: number;
  readonly limits: SignedLimits;
  /** RFC 7638 thumbprint of the one key that may use it, of an agent that asked to be claimed; absent for whoever holds it. */
  readonly holder_thumbprint?: string;
}

/** Signed by the server's key for an operator: one verifier, or one relay, of this name may be enrolled once. */
export interface VerifierTicket {
  readonly v: 1;
  readonly kind: "verifier" | "relay";
  readonly jti: string;
  readonly aud: string;
  readonly iat: number;
  readonly exp: number;
  readonly name: string;
  readonly ttl_seconds: number;
}

/** Signed by the parent's live SVID key: this key may become this child once, within a minute. */
export interface Grant {
  readonly v: 1;
  readonly jti: string;
  readonly aud: string;
  readonly iat: number;
  readonly exp: number;
  readonly name: string;
  readonly path: string;
  readonly scope: Scope;
  readonly ttl_seconds: number;
  readonly limits: SignedLimits;
  /** RFC 7638 thumbprint of the child's key. */
  readonly child_thumbprint: string;
  /** SPIFFE ID of the parent's instance. */
  readonly parent: SpiffeId;
  /** base64url SHA-256 of the parent's SVID. */
  readonly svid_sha256: string;
}

/** What a document claims to be and whose key would prove it; only for finding that key. */
export type UnverifiedEnrolment =
  | { readonly via: "ticket"; readonly unverifiedOwnerId: string }
  | { readonly via: "verifier-ticket" }
  | {
      readonly via: "grant";
      readonly unverifiedParentInstanceId: string;
      readonly unverifiedSvidSha256: string;
    };

/** What a verifier of enrolment documents knows. */
export interface EnrolmentCheck {
  /** The owner's, the server's or the parent's; of an owner it may be a passkey. */
  readonly publicKey: OwnerKey;
  /** Trust domain of this server. */
  readonly audience: TrustDomain;
  /** Unix seconds. */
  readonly now: number;
}

/** Limits in the words of the domain. */
export function limitsOf({ depth, fan_out, budget }: SignedLimits): Limits {
  return { depth, fanOut: fan_out, budget };
}

/** Limits as they are signed. */
export function formatLimits({ depth, fanOut, budget }: Limits): SignedLimits {
  return { depth, fan_out: fanOut, budget };
}

/** base64url SHA-256 of a document's text: what a proof of possession binds itself to. */
export function digestOfEnrolment(envelope: string): string {
  return encodeBase64url(sha256(encodeUtf8(envelope)));
}

/** base64url SHA-256 of evidence as JCS: what the proof of possession of an attested key binds itself to. */
export function digestOfEvidence(evidence: JsonObject): string {
  return encodeBase64url(sha256(encodeCanonicalJson(evidence)));
}

/** `keyid` of an owner's signatures: base64url SHA-256 of the SubjectPublicKeyInfo. */
export function formatOwnerKeyid(key: OwnerKey): string {
  return encodeBase64url(sha256(encodeSpki(publicKeyOf(key))));
}

/**
 * Signs a ticket with an owner's key.
 *
 * @throws TrustWardenError whatever `verifyTicket` would refuse in its members.
 */
export function issueTicket(ticket: Ticket, signer: Signer, keyid: string): string {
  return signDraft(draftTicket(ticket, keyid), signer);
}

/**
 * A ticket that a passkey is to sign.
 *
 * @throws TrustWardenError whatever `verifyTicket` would refuse in its members.
 */
export function draftTicket(ticket: Ticket, keyid: string): EnvelopeDraft {
  return draftEnvelope("ticket", formatTicket(parseTicket(formatTicket(ticket))), keyid);
}

/**
 * Signs a verifier ticket with the server's key.
 *
 * @param keyid - base64url SHA-256 of the server's SVID.
 * @throws TrustWardenError whatever `verifyVerifierTicket` would refuse in its members.
 */
export function issueVerifierTicket(ticket: VerifierTicket, signer: Signer, keyid: string): string {
  return issueEnvelope("ticket", { ...parseVerifierTicket({ ...ticket }) }, signer, keyid);
}

/**
 * Signs a grant with the parent's SVID key.
 *
 * @throws TrustWardenError whatever `verifyGrant` would refuse in its members.
 */
export function issueGrant(grant: Grant, signer: Signer): string {
  return issueEnvelope("grant", formatGrant(parseGrant(formatGrant(grant))), signer, grant.svid_sha256);
}

/**
 * What kind of document this is, and which key would prove it.
 *
 * @throws TrustWardenError `dsse_malformed`, `ticket_invalid` or `grant_invalid`, and the JSON codes.
 */
export function parseUnverifiedEnrolment(envelope: string): UnverifiedEnrolment {
  const parsed = parseEnvelope(envelope);
  const payload = parseUnverifiedPayload(parsed);
  if (parsed.payloadType === payloadTypeOf("grant")) {
    const { parent, svid_sha256 } = parseGrant(payload);
    return {
      via: "grant",
      unverifiedParentInstanceId: requireInstanceId(parent),
      unverifiedSvidSha256: svid_sha256,
    };
  }
  if (parsed.payloadType !== payloadTypeOf("ticket"))
    throw new TrustWardenError("ticket_invalid", { field: "type" });
  if (payload.kind === "verifier" || payload.kind === "relay") return { via: "verifier-ticket" };
  return { via: "ticket", unverifiedOwnerId: parseTicket(payload).owner };
}

/**
 * The owner who claims to have signed a ticket.
 *
 * @throws TrustWardenError as `parseUnverifiedEnrolment`; `ticket_invalid` for anything but an agent's ticket.
 */
export function parseUnverifiedTicketOwner(envelope: string): string {
  const enrolment = parseUnverifiedEnrolment(envelope);
  if (enrolment.via !== "ticket") throw new TrustWardenError("ticket_invalid", { field: "kind" });
  return enrolment.unverifiedOwnerId;
}

/**
 * A ticket that the owner's key signed, for this trust domain, not expired.
 *
 * @throws TrustWardenError `signature_invalid`, `ticket_invalid`, `ticket_expired`, and the codes of its members.
 */
export function verifyTicket(envelope: string, check: EnrolmentCheck): Ticket {
  const parsed = parseEnvelope(envelope);
  const ticket = parseTicket(verifyEnvelope(parsed, "ticket", check.publicKey));
  if (parsed.unverifiedKeyid !== formatOwnerKeyid(check.publicKey)) throw invalid("ticket_invalid", "keyid");
  requireForUs(ticket, check, "ticket_invalid");
  requireWithinTime(ticket, check.now, { code: "ticket", maxSeconds: MAX_TICKET_SECONDS });
  return ticket;
}

/**
 * A verifier ticket that the server's own key signed, for this trust domain, not expired.
 *
 * @throws TrustWardenError `signature_invalid`, `ticket_invalid`, `ticket_expired`, and the codes of its members.
 */
export function verifyVerifierTicket(envelope: string, check: EnrolmentCheck): VerifierTicket {
  const ticket = parseVerifierTicket(verifyEnvelope(parseEnvelope(envelope), "ticket", check.publicKey));
  requireForUs(ticket, check, "ticket_invalid");
  requireWithinTime(ticket, check.now, { code: "ticket", maxSeconds: MAX_TICKET_SECONDS });
  return ticket;
}

/**
 * A grant that the parent's key signed, for this trust domain, not expired and at most a minute long.
 *
 * @throws TrustWardenError `signature_invalid`, `grant_invalid`, `grant_expired`, and the codes of its members.
 */
export function verifyGrant(envelope: string, check: EnrolmentCheck): Grant {
  const parsed = parseEnvelope(envelope);
  const grant = parseGrant(verifyEnvelope(parsed, "grant", check.publicKey));
  // A key may be certified twice: the certificate counts, not only the key.
  if (parsed.unverifiedKeyid !== grant.svid_sha256) throw invalid("grant_invalid", "keyid");
  requireForUs(grant, check, "grant_invalid");
  requireWithinTime(grant, check.now, { code: "grant", maxSeconds: MAX_GRANT_SECONDS });
  return grant;
}

function parseTicket(json: JsonObject): Ticket {
  const members = new Fields(json, "ticket_invalid");
  const ticket: Ticket = {
    v: members.version(),
    kind: members.literal("kind", "agent"),
    ...parseCommon(members),
    owner: readOwnerId(members, "owner"),
    ...parseAgent(members),
  };
  if (json.holder_thumbprint === undefined) {
    members.end();
    return ticket;
  }
  const held = { ...ticket, holder_thumbprint: members.digest("holder_thumbprint") };
  members.end();
  return held;
}

function parseVerifierTicket(json: JsonObject): VerifierTicket {
  const members = new Fields(json, "ticket_invalid");
  const ticket: VerifierTicket = {
    v: members.version(),
    kind: members.oneOf("kind", ["verifier", "relay"]),
    ...parseCommon(members),
    name: parseVerifierName(members.text("name")),
    ttl_seconds: readTtlSeconds(members, "ttl_seconds"),
  };
  members.end();
  return ticket;
}

function parseGrant(json: JsonObject): Grant {
  const members = new Fields(json, "grant_invalid");
  const grant: Grant = {
    v: members.version(),
    ...parseCommon(members),
    ...parseAgent(members),
    child_thumbprint: members.digest("child_thumbprint"),
    parent: readSpiffeId(members, "parent"),
    svid_sha256: members.digest("svid_sha256"),
  };
  members.end();
  requireInstanceId(grant.parent);
  return grant;
}

function parseCommon(members: Fields): Pick<Ticket, "jti" | "aud" | "iat" | "exp"> {
  return {
    jti: readUlid(members, "jti"),
    aud: readSpiffeId(members, "aud"),
    iat: members.integer("iat"),
    exp: members.integer("exp"),
  };
}

function parseAgent(members: Fields): Pick<Ticket, "path" | "name" | "scope" | "ttl_seconds" | "limits"> {
  const label = { path: members.text("path", { allowEmpty: true }), name: members.text("name") };
  return {
    ...parseAgentLabel(label),
    scope: readScope(members, "scope"),
    ttl_seconds: readTtlSeconds(members, "ttl_seconds"),
    limits: readLimits(members, "limits"),
  };
}

function formatTicket(ticket: Ticket): JsonObject {
  return { ...ticket, scope: [...ticket.scope], limits: { ...ticket.limits } };
}

function formatGrant(grant: Grant): JsonObject {
  return { ...grant, scope: [...grant.scope], limits: { ...grant.limits } };
}

function requireInstanceId(parent: SpiffeId): string {
  const instanceId = instanceIdOf(parent);
  if (instanceId === undefined) throw invalid("grant_invalid", "parent");
  return instanceId;
}

function requireForUs(document: { readonly aud: string }, check: EnrolmentCheck, code: MalformedCode): void {
  if (document.aud !== formatSpiffeId(check.audience, [])) throw invalid(code, "aud");
}

function requireWithinTime(
  { iat, exp }: { readonly iat: number; readonly exp: number },
  now: number,
  { code, maxSeconds }: { readonly code: "ticket" | "grant"; readonly maxSeconds: number },
): void {
  if (exp <= iat || exp - iat > maxSeconds) throw invalid(`${code}_invalid`, "exp");
  if (iat > now + CLOCK_SKEW_SECONDS) throw invalid(`${code}_invalid`, "iat");
  if (now >= exp) throw new TrustWardenError(`${code}_expired`, { exp, now });
}

function invalid(code: MalformedCode, field: string): TrustWardenError {
  return new TrustWardenError(code, { field });
}
