/**
 * A stream of security events that a receiver made itself: what it asked for, and how far it has taken them.
 *
 * The events are in the ledger; of a stream only its place there is kept, so that nothing is stored twice.
 *
 * @see OpenID Shared Signals Framework 1.0 §8.1
 */
import { Fields } from "@trustwarden/core/fields.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";

/** `paused`: events wait; `disabled`: what happens meanwhile is never told. */
export const STREAM_STATUSES = ["enabled", "paused", "disabled"] as const;
export type StreamStatus = (typeof STREAM_STATUSES)[number];

/** The reason of a stream that the server gave up; no receiver may say the same. */
export const GIVEN_UP = "given up: nothing was taken for 14 days";
/** Ends the `jti` of what a stream says of its own status. */
const OF_UPDATE = ".stream-updated";

/** Also the name of a stream's file. */
const STREAM_ID = /^str_[0-9A-HJKMNP-TV-Z]{26}$/;
/** Of one stream's file: texts of a few hundred subjects. */
const MAX_FILE_CHARS = 1_048_576;

/** A verification that the receiver asked for, or word of its stream's status, that it has not taken. */
export interface Verification {
  readonly jti: string;
  /** The receiver's own word, given back; null without one. */
  readonly state: string | null;
}

/** As it is kept. */
export interface StreamState {
  readonly streamId: string;
  /** The SPIFFE ID of the service, without its instance: an instance lives for hours, a stream for years. */
  readonly receiver: string;
  readonly description: string | null;
  /** Full names of events; null for all that there are. */
  readonly requested: readonly string[] | null;
  readonly status: StreamStatus;
  /** The receiver's word for its status. */
  readonly reason: string | null;
  /** Subjects that are not told about, as canonical JSON. */
  readonly removed: readonly string[];
  readonly verifications: readonly Verification[];
  /** Entry of the ledger before which everything was taken. */
  readonly next: number;
}

/** Whether the server gave a stream up: it has no place any more, and can be enabled again where there is one. */
export function isGivenUp({ status, reason }: Pick<StreamState, "status" | "reason">): boolean {
  return status === "disabled" && reason === GIVEN_UP;
}

/** The same stream without its place; what it says is that. */
export function givenUp(state: StreamState, id: string): StreamState {
  const verifications = [{ jti: `${id}${OF_UPDATE}`, state: null }];
  return { ...state, status: "disabled", reason: GIVEN_UP, verifications };
}

/** Whether this is no answer to a receiver, but what a stream says of its own status. */
export function isUpdate({ jti }: Verification): boolean {
  return jti.endsWith(OF_UPDATE);
}

export function formatStreamState(state: StreamState): string {
  const { streamId, receiver, description, requested, status, reason, removed, verifications, next } = state;
  return formatCanonicalJson({
    v: 1,
    stream_id: streamId,
    receiver,
    description,
    requested,
    status,
    reason,
    removed,
    verifications: verifications.map(({ jti, state }) => formatCanonicalJson({ jti, state })),
    next,
  });
}

/** @throws TrustWardenError `config_invalid` for a file that is none of ours, and the codes of JSON. */
export function parseStreamState(text: string): StreamState {
  const fields = new Fields(parseJsonObject(text, MAX_FILE_CHARS), "config_invalid");
  fields.version();
  const state = {
    streamId: fields.matching("stream_id", STREAM_ID),
    receiver: fields.text("receiver"),
    description: fields.textOrNull("description"),
    requested: fields.take("requested") === null ? null : fields.texts("requested"),
    status: fields.oneOf("status", STREAM_STATUSES),
    reason: fields.textOrNull("reason"),
    removed: fields.texts("removed"),
    verifications: fields.texts("verifications").map((item) => parseVerification(parseJsonObject(item))),
    next: fields.integer("next"),
  };
  fields.end();
  return state;
}

function parseVerification(json: JsonObject): Verification {
  const fields = new Fields(json, "config_invalid");
  const verification = {
    jti: fields.text("jti"),
    // Whatever the receiver said, if it was nothing.
    state: fields.take("state") === null ? null : fields.text("state", { allowEmpty: true }),
  };
  fields.end();
  return verification;
}
