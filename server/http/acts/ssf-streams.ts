/**
 * Streams of security events, by the receivers themselves.
 *
 * A receiver is a service with a verifier's SVID; it may hear of every stop, as it does by its lease. Each change is recorded
 * before it is made; what is polled is recorded as read.
 *
 * @see OpenID Shared Signals Framework 1.0 §8.1; RFC 8936
 */
import { classIdOf, parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type {
  SsfPollAnswer,
  SsfPollRequest,
  SsfStatus,
  SsfStatusRequest,
  SsfStream,
  SsfStreamNamed,
  SsfStreamQuery,
  SsfStreamRequest,
  SsfStreamUpdate,
  SsfSubjectRequest,
  SsfVerificationRequest,
} from "@trustwarden/core/api/ssf.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { EVENT_TYPES, formatEventType, issueSecurityEventToken } from "../../ssf/security-event.ts";
import { INACTIVITY_SECONDS } from "../../ssf/silent-streams.ts";
import { GIVEN_UP, type StreamState } from "../../ssf/stream-state.ts";
import { deliveredTo, MIN_VERIFICATION_SECONDS, type StreamChange } from "../../ssf/streams.ts";
import type { Caller } from "../caller.ts";
import { append, requireStillLive } from "../control-ports.ts";
import type { RawAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { BY_POLL, ssfBaseOf } from "./ssf.ts";

const MAX_SUBJECT_CHARS = 1_024;

/** @throws TrustWardenError `ssf_delivery_refused`, `ssf_limit_reached`, `ledger_unavailable`. */
export async function createStream(services: Services, visit: Visit<SsfStreamRequest>): Promise<SsfStream> {
  requirePolled(visit.body);
  const receiver = receiverOf(visit.caller);
  const { events_requested: requested = null, description = null } = visit.body;
  await services.streams.refresh();
  services.streams.requireRoom(receiver);
  await record(services, visit, { change: "created", requested });
  return viewOf(services, await services.streams.create(receiver, { requested, description }));
}

/** One, or all of the receiver's. @throws TrustWardenError `not_found`. */
export async function readStreams(
  services: Services,
  { caller, query }: Visit<unknown, SsfStreamQuery>,
): Promise<SsfStream | readonly SsfStream[]> {
  await services.streams.refresh();
  const receiver = receiverOf(caller);
  if (query.stream_id === undefined)
    return services.streams.list(receiver).map((state) => viewOf(services, state));
  return viewOf(services, services.streams.read(receiver, query.stream_id));
}

/** What is not named stays. @throws as `createStream`, and `not_found`. */
export async function updateStream(services: Services, visit: Visit<SsfStreamUpdate>): Promise<SsfStream> {
  requirePolled(visit.body);
  const { stream_id, events_requested, description } = visit.body;
  const state = await change(services, visit, {
    streamId: stream_id,
    details: { change: "updated", requested: events_requested ?? null },
    to: () => ({
      ...(events_requested === undefined ? {} : { requested: events_requested }),
      ...(description === undefined ? {} : { description }),
    }),
  });
  return viewOf(services, state);
}

/** What is not named is taken away. @throws as `createStream`, and `not_found`. */
export async function replaceStream(services: Services, visit: Visit<SsfStreamUpdate>): Promise<SsfStream> {
  requirePolled(visit.body);
  const { stream_id, events_requested: requested = null, description = null } = visit.body;
  const details = { change: "replaced", requested };
  const to = () => ({ requested, description });
  return viewOf(services, await change(services, visit, { streamId: stream_id, details, to }));
}

/** @throws TrustWardenError `not_found`, `ledger_unavailable`. */
export async function removeStream(
  services: Services,
  visit: Visit<unknown, SsfStreamNamed>,
): Promise<RawAnswer> {
  await services.streams.refresh();
  const receiver = receiverOf(visit.caller);
  const { streamId } = services.streams.read(receiver, visit.query.stream_id);
  await record(services, visit, { change: "removed", stream_id: streamId });
  await services.streams.remove(receiver, streamId);
  return nothing();
}

/** @throws TrustWardenError `not_found`. */
export async function readStreamStatus(
  services: Services,
  { caller, query }: Visit<unknown, SsfStreamNamed>,
): Promise<SsfStatus> {
  await services.streams.refresh();
  return statusOf(services.streams.read(receiverOf(caller), query.stream_id));
}

/** @throws TrustWardenError `not_found`, `ledger_unavailable`, `ssf_limit_reached`, `request_malformed` for the server's own word. */
export async function changeStreamStatus(
  services: Services,
  visit: Visit<SsfStatusRequest>,
): Promise<SsfStatus> {
  const { stream_id, status, reason = null } = visit.body;
  if (reason === GIVEN_UP) throw new TrustWardenError("request_malformed", { reason: "reason" });
  const details = { change: "status", status };
  const to = () => ({ status, reason });
  return statusOf(await change(services, visit, { streamId: stream_id, details, to }));
}

/** Tells about a subject again. @throws TrustWardenError `not_found`, `request_malformed`, `ledger_unavailable`. */
export async function addSubject(services: Services, visit: Visit<SsfSubjectRequest>): Promise<RawAnswer> {
  const subject = subjectOf(visit.body);
  await change(services, visit, {
    streamId: visit.body.stream_id,
    details: { change: "subject added", subject },
    to: ({ removed }) => ({ removed: removed.filter((other) => other !== subject) }),
  });
  return { ...nothing(), status: 200 };
}

/** Tells about a subject no more. @throws as `addSubject`, and `ssf_limit_reached`. */
export async function removeSubject(services: Services, visit: Visit<SsfSubjectRequest>): Promise<RawAnswer> {
  const subject = subjectOf(visit.body);
  await change(services, visit, {
    streamId: visit.body.stream_id,
    details: { change: "subject removed", subject },
    to: ({ removed }) => ({ removed: [...new Set([...removed, subject])] }),
  });
  return nothing();
}

/** The stream says the receiver's word back, as its next event. @throws TrustWardenError `not_found`, `rate_limited`. */
export async function verifyStream(
  services: Services,
  { caller, body }: Visit<SsfVerificationRequest>,
): Promise<RawAnswer> {
  await services.streams.refresh();
  await services.streams.verify(receiverOf(caller), body.stream_id, body.state ?? null);
  return nothing();
}

/** @throws TrustWardenError `not_found`, and the codes of a dead instance for whoever was stopped while it waited. */
export async function pollStream(
  services: Services,
  { arrival, caller, body, params }: Visit<SsfPollRequest, unknown, SsfStreamNamed>,
): Promise<SsfPollAnswer> {
  const { streams, serverSigner: signer, jwtIssuer: issuer } = services;
  const { ack = [], setErrs = {}, maxEvents, returnImmediately = false } = body;
  const receiver = receiverOf(caller);
  const refused = Object.keys(setErrs);
  // What a receiver cannot read it could not read the second time either.
  if (refused.length > 0)
    services.log.warn({ receiver, refused: refused.length }, "security events were not understood");
  // A wait costs a timer, so it holds no place.
  if (!returnImmediately) arrival.place.leave();
  await streams.refresh();
  const { events, hasMore } = await streams.poll(receiver, params.stream_id, {
    taken: new Set([...ack, ...refused]),
    ...(maxEvents === undefined ? {} : { maxEvents }),
    isImmediate: returnImmediately,
    isGone: () => arrival.socket.destroyed,
  });
  requireStillLive(services, caller);
  const parties = { issuer, audience: receiver, signer, kid: formatThumbprint(signer.publicKey) };
  const now = services.clock.trustedSeconds();
  const sets = events.map((event) => [event.jti, issueSecurityEventToken(event, parties, now)]);
  return { sets: Object.fromEntries(sets), moreAvailable: hasMore };
}

/** Recorded first, so that no stream changes unseen. */
async function change(
  services: Services,
  visit: Pick<Visit, "arrival" | "caller">,
  changing: {
    readonly streamId: string;
    readonly details: JsonObject;
    readonly to: (state: StreamState) => StreamChange;
  },
): Promise<StreamState> {
  const receiver = receiverOf(visit.caller);
  const { streamId, to, details } = changing;
  await services.streams.refresh();
  services.streams.requireChangeable(receiver, streamId, to);
  await record(services, visit, { ...details, stream_id: streamId });
  return services.streams.change(receiver, streamId, to);
}

async function record(
  services: Services,
  visit: Pick<Visit, "arrival" | "caller">,
  details: JsonObject,
): Promise<void> {
  const draft = {
    kind: "admin",
    allow: true,
    reasons: [],
    subject: receiverOf(visit.caller),
    chain: [],
  } as const;
  await append(services, visit, { ...draft, details: { act: "ssf stream", ...details } });
}

/** The service without its instance. */
function receiverOf({ principal }: Caller): string {
  if (principal.kind !== "verifier") throw new Error("only services come here");
  return classIdOf(parseSpiffeId(principal.spiffeId));
}

/** @throws TrustWardenError `ssf_delivery_refused`: an address that somebody names is not asked by this server. */
function requirePolled({ delivery }: SsfStreamRequest): void {
  if (delivery !== undefined && delivery.method !== BY_POLL)
    throw new TrustWardenError("ssf_delivery_refused", { method: delivery.method });
}

/** @throws TrustWardenError `request_malformed`. */
function subjectOf({ subject }: SsfSubjectRequest): string {
  const text = formatCanonicalJson(subject);
  if (text.length > MAX_SUBJECT_CHARS) throw new TrustWardenError("request_malformed", { reason: "subject" });
  return text;
}

function viewOf(services: Services, state: StreamState): SsfStream {
  const { streamId, receiver, requested, description } = state;
  return {
    stream_id: streamId,
    iss: services.jwtIssuer,
    aud: receiver,
    events_supported: EVENT_TYPES.map(formatEventType),
    ...(requested === null ? {} : { events_requested: [...requested] }),
    events_delivered: [...deliveredTo(state)],
    delivery: { method: BY_POLL, endpoint_url: `${ssfBaseOf(services)}/ssf/streams/${streamId}/poll` },
    min_verification_interval: MIN_VERIFICATION_SECONDS,
    inactivity_timeout: INACTIVITY_SECONDS,
    ...(description === null ? {} : { description }),
  };
}

function statusOf({ streamId, status, reason }: StreamState): SsfStatus {
  return { stream_id: streamId, status, ...(reason === null ? {} : { reason }) };
}

function nothing(): RawAnswer {
  return { isRaw: true, status: 204, contentType: "application/json", cacheControl: "no-store", content: "" };
}
