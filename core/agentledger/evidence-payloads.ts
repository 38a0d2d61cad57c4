/**
 * Payloads in an evidence bundle: what was asked and answered, with the salt that opens the commitments in the log.
 *
 * `payloads/<event id>.json` is a request and, where the outcome commits to it, its answer. The commitments are in the
 * agent's intent and in the outcome, under their signatures, so nobody can put other content here. A payload that was
 * erased is not here; the record of its erasure is.
 *
 * @see docs/decisions/0072
 */
import { formatAnswerCommitment } from "../answer-commitment.ts";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import { formatRequestCommitment } from "../intent.ts";
import { formatCanonicalJson, parseJsonObject } from "../json.ts";
import type { BundleRecords } from "./bundle-answers.ts";
import type { EventIndexes, OpenedBundle } from "./evidence-bundle.ts";
import type { UnverifiedRecord } from "./record.ts";

const FOLDER = "payloads/";
const PATH = /^payloads\/([0-9a-f-]{36})\.json$/;
/** More than a bundle holds. */
const MAX_CHARS = 24_000_000;
const SALT_BYTES = 32;

/** A call's content, as the enforcement point kept it. */
export interface DisclosedPayload {
  readonly method: string;
  readonly target: string;
  readonly request: Uint8Array;
  /** Null where no outcome commits to it: then nothing proves it. */
  readonly answer: Uint8Array | null;
  readonly salt: Uint8Array;
}

/** What a bundle has of one event's payload. */
export type PayloadState =
  | { readonly kind: "disclosed"; readonly payload: DisclosedPayload }
  | { readonly kind: "erased"; readonly index: number };

/** Path of an event's payload. */
export function formatPayloadPath(eventId: string): string {
  return `${FOLDER}${eventId}.json`;
}

/** Bytes of the file. */
export function encodePayloadFile({ method, target, request, answer, salt }: DisclosedPayload): Uint8Array {
  const text = formatCanonicalJson({
    method,
    target,
    request: encodeBase64url(request),
    answer: answer === null ? null : encodeBase64url(answer),
    salt: encodeBase64url(salt),
  });
  return encodeUtf8(text);
}

/** Event of whose payload an entry tells that it was erased; null for any other entry. */
export function erasedEventOf({ unverified }: UnverifiedRecord): string | null {
  if (unverified.kind !== "control" || unverified.value.kind !== "admin" || !unverified.value.allow)
    return null;
  const { change, event_id: eventId } = unverified.value.details;
  return change === "erasure" && typeof eventId === "string" ? eventId : null;
}

/**
 * What the bundle has of the payloads of its events, by event id; nothing of those that it does not mention.
 *
 * @throws TrustWardenError `evidence_bundle_invalid` for content that the log does not commit to, and for what its own entries
 *   say was erased.
 */
export function verifyPayloadFiles(
  { files, list }: Pick<OpenedBundle, "files" | "list">,
  records: BundleRecords,
): ReadonlyMap<string, PayloadState> {
  const states = new Map<string, PayloadState>();
  for (const [index, record] of records) {
    const erased = erasedEventOf(record);
    if (erased !== null && !states.has(erased)) states.set(erased, { kind: "erased", index });
  }
  for (const [path, content] of files) {
    if (!path.startsWith(FOLDER)) continue;
    const eventId = PATH.exec(path)?.[1];
    if (eventId === undefined || states.has(eventId)) throw invalid(path, "was erased, or is no event's");
    const payload = parsePayloadFile(path, content);
    const events = list.events.filter((event) => event.event_id === eventId);
    if (!events.some((event) => isCommittedBy(event, payload, records)))
      throw invalid(path, "is not what the log commits to");
    states.set(eventId, { kind: "disclosed", payload });
  }
  return states;
}

/** Whether intent and outcome of an event commit to a payload. */
export function isCommittedBy(
  { indexes }: Pick<EventIndexes, "indexes">,
  payload: DisclosedPayload,
  records: BundleRecords,
): boolean {
  const { method, target, request: body, answer, salt } = payload;
  const own = indexes.map((index) => records.get(index)?.unverified);
  const intent = own.find((one) => one?.kind === "intent");
  const outcome = own.find((one) => one?.kind === "outcome");
  if (intent?.kind !== "intent") return false;
  if (intent.value.request !== formatRequestCommitment({ method, target, body }, salt)) return false;
  if (answer === null) return true;
  return outcome?.kind === "outcome" && outcome.value.result === formatAnswerCommitment(sha256(answer), salt);
}

function parsePayloadFile(path: string, content: Uint8Array): DisclosedPayload {
  const text = parseUtf8(content);
  const json = parseJsonObject(text, MAX_CHARS);
  if (formatCanonicalJson(json) !== text) throw invalid(path, "is not canonical");
  const fields = new Fields(json, "evidence_bundle_malformed");
  const bytesOf = (name: string) =>
    parseBase64url(fields.text(name, { maxChars: MAX_CHARS, allowEmpty: true }));
  const payload = {
    method: fields.text("method"),
    target: fields.text("target", { maxChars: 65_536 }),
    request: bytesOf("request"),
    answer: json.answer === null ? fields.null("answer") : bytesOf("answer"),
    salt: bytesOf("salt"),
  };
  fields.end();
  if (payload.salt.length !== SALT_BYTES) throw invalid(path, "has another salt");
  return payload;
}

function invalid(place: string, detail: string): TrustWardenError {
  return new TrustWardenError("evidence_bundle_invalid", { reason: "payload", place, detail });
}
