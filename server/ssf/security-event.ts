/**
 * Our revocations, transfers and narrowings as security events that others understand: one signed token an event. Whoever was
 * given away has no session of before, as if it had been stopped.
 *
 * A token names whom it is about and what happened, and nothing of why: reasons are people's words. Its `jti` is made of
 * the ledger's event, so that a repetition is known for what it is.
 *
 * @see OpenID Shared Signals Framework 1.0 (final) §3, §4.1; CAEP 1.0 (final) §3; RFC 8417; RFC 9493
 */
import { isEnding } from "@trustwarden/core/agentledger/audit-revocations.ts";
import type { ControlRecord } from "@trustwarden/core/event.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import { issueJws } from "@trustwarden/core/jws.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

const CAEP = "https://schemas.openid.net/secevent/caep/event-type";
const SSF = "https://schemas.openid.net/secevent/ssf/event-type";
const MS_PER_SECOND = 1000;
/** Jobs and policies are nobody's session, and a job's name is a text of somebody's. */
const NO_SUBJECTS: readonly unknown[] = ["job", "policy"];

/** Kinds of our events of which something may be sent. */
export const TOLD_KINDS: readonly string[] = ["revoke", "narrow", "transfer"];

/** The events that are sent, by the last part of their names. */
export const EVENT_TYPES = ["session-revoked", "credential-change", "token-claims-change"] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** What happened to whom, before it is anybody's; or what a stream says of itself: that it is alive, or its new status. */
export interface SecurityEvent {
  readonly type: EventType | "verification" | "stream-updated";
  /** The same for the same happening, whoever is told. */
  readonly jti: string;
  readonly subject: JsonObject;
  readonly claims: JsonObject;
}

/** Who says it to whom. */
export interface SetParties {
  /** Also the issuer of JWT-SVIDs, by which relying parties know a subject. */
  readonly issuer: string;
  readonly audience: string;
  readonly signer: Signer;
  /** Of the signer's key, as the transmitter's JWKS has it. */
  readonly kid: string;
}

/** The full name of an event. */
export function formatEventType(type: SecurityEvent["type"]): string {
  return `${type === "verification" || type === "stream-updated" ? SSF : CAEP}/${type}`;
}

/** What a record of the ledger means to others; nothing for most. */
export function securityEventsOf(record: ControlRecord, issuer: string): readonly SecurityEvent[] {
  if (!record.allow) return [];
  if (isEnding(record)) return eventsOfRevocation(record, issuer);
  return record.kind === "narrow" ? eventsOfNarrowing(record, issuer) : [];
}

function eventsOfRevocation(record: ControlRecord, issuer: string): readonly SecurityEvent[] {
  if (NO_SUBJECTS.includes(record.details.target_kind)) return [];
  const subject = subjectOf(record, record.details.target_id, issuer);
  const common = { subject, at: record };
  const revoked = makeEvent("session-revoked", common, {});
  if (record.details.target_kind !== "instance") return [revoked];
  // The certificate is on the list of revoked ones too; whoever only hears of events learns it here.
  return [
    revoked,
    makeEvent("credential-change", common, { credential_type: "x509", change_type: "revoke" }),
  ];
}

function eventsOfNarrowing(record: ControlRecord, issuer: string): readonly SecurityEvent[] {
  const { scope, instance_id } = record.details;
  if (!Array.isArray(scope)) return [];
  const subject = subjectOf(record, instance_id, issuer);
  return [makeEvent("token-claims-change", { subject, at: record }, { claims: { scope: scope.join(" ") } })];
}

function makeEvent(
  type: EventType,
  { subject, at }: { readonly subject: JsonObject; readonly at: ControlRecord },
  claims: JsonObject,
): SecurityEvent {
  return {
    type,
    jti: `${at.event_id}.${type}`,
    subject,
    claims: {
      ...claims,
      event_timestamp: Math.floor(Date.parse(at.time) / MS_PER_SECOND),
      initiating_entity: initiatorOf(at.principal),
    },
  };
}

/** An instance as the subject of its JWT-SVIDs; whatever has no name outside, by its id here. */
function subjectOf({ subject }: ControlRecord, id: Json | undefined, issuer: string): JsonObject {
  if (subject?.startsWith("spiffe://")) return { format: "iss_sub", iss: issuer, sub: subject };
  return { format: "opaque", id: typeof id === "string" ? id : (subject ?? "") };
}

/** CAEP's words for who began it. */
function initiatorOf(principal: string): "admin" | "user" | "system" {
  if (principal === "operator") return "admin";
  return principal.startsWith("owner:") ? "user" : "system";
}

/** A signed security event token, for one receiver. @param now - Unix seconds. */
export function issueSecurityEventToken(event: SecurityEvent, parties: SetParties, now: number): string {
  const { issuer, audience, signer, kid } = parties;
  return issueJws({
    header: { typ: "secevent+jwt", kid },
    payload: {
      iss: issuer,
      aud: audience,
      iat: now,
      jti: event.jti,
      sub_id: event.subject,
      events: { [formatEventType(event.type)]: event.claims },
    },
    signer,
  });
}
