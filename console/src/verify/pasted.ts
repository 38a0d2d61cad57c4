/**
 * What a person pasted, and which question to the ledger it is. Whatever the pasted text itself proves is checked here,
 * by the core; a text that looks like something and is not is refused.
 */
import { type Certificate, parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { verifyDetachedCms } from "@trustwarden/core/agentid/cms.ts";
import { parseSignedMessage, splitSigned } from "@trustwarden/core/agentid/git-signature.ts";
import { verifyAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import type { FollowedKeys } from "@trustwarden/core/agentledger/followed-keys.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { encodeUtf8, isEqualBytes, parseBase64, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { isP256Signature, parseP256Jwk } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Anchors } from "./anchors.ts";
import { namedIn } from "./post.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const PEM = /^-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const GIT_OBJECT = /^(tree|object) [0-9a-f]{40,64}\n/;
const WORD = /^\S+$/;
const MAX_CHARS = 100_000;

interface EventQuestion {
  readonly kind: "event";
  readonly eventId: string;
  /** Where the log promised its decision; agents choose the ids of events, and two may choose one. */
  readonly index: number | null;
  readonly proven: string | null;
  /** Whether it stood in a text of somebody's, of which nothing else is proven. */
  readonly isQuoted: boolean;
}

/** Where to look in the ledger. */
export type Question =
  | EventQuestion
  | {
      readonly kind: "links";
      readonly agent: string;
      readonly only: "jwt" | null;
      readonly proven: string | null;
    }
  | { readonly kind: "agent"; readonly id: string }
  | { readonly kind: "owner"; readonly id: string };

/**
 * The question behind a text.
 *
 * @throws TrustWardenError `request_malformed` for what is none of them, and the codes of what it claims to be.
 */
export async function questionOf(
  pasted: string,
  { bundle, keys }: Pick<Anchors, "bundle"> & { readonly keys: FollowedKeys },
): Promise<Question> {
  const text = pasted.trim();
  if (text.length > MAX_CHARS) throw new TrustWardenError("request_too_large");
  const named = WORD.test(text) ? questionOfName(text) : null;
  if (named !== null) return named;
  const pem = PEM.exec(text);
  if (pem !== null)
    return questionOfCertificate(parseCertificate(parseBase64((pem[1] ?? "").replaceAll(/\s/g, ""))));
  const object = pasted.trimStart();
  if (GIT_OBJECT.test(object)) return questionOfCommit(object);
  if (JWT.test(text)) return questionOfToken(text, bundle);
  if (text.startsWith("{") || BASE64URL.test(text)) return questionOfReceipt(text, keys);
  return questionOfPost(text, keys);
}

/** An id, or the name of an instance; null for another word. */
function questionOfName(text: string): Question | null {
  if (UUID.test(text)) return { kind: "event", eventId: text, index: null, proven: null, isQuoted: false };
  if (text.startsWith("agt_")) return { kind: "agent", id: text };
  if (text.startsWith("own_")) return { kind: "owner", id: text };
  return text.startsWith("inst-") || text.startsWith("spiffe://") ? links(text, null, null) : null;
}

function links(agent: string, only: "jwt" | null, proven: string | null): Question {
  return { kind: "links", agent, only, proven };
}

function questionOfCertificate({ sha256 }: Certificate): Question {
  // Whether it is one of ours is what the ledger says: the record that issued or renewed it carries its digest.
  return links(sha256, null, null);
}

/** `git cat-file commit`, as git prints it. */
function questionOfCommit(object: string): Question {
  const kind = object.startsWith("tree ") ? "commit" : "tag";
  const { payload, signature } = splitSigned(kind, object);
  if (signature === null)
    throw new TrustWardenError("signature_invalid", { why: "the object is not signed" });
  const { leaf } = verifyDetachedCms(parseSignedMessage(signature), encodeUtf8(payload));
  return links(leaf.sha256, null, `The ${kind} is signed by the key of this certificate.`);
}

/** A JWT-SVID of this trust domain. */
function questionOfToken(text: string, bundle: string): Question {
  const [header = "", payload = "", signature = ""] = text.split(".");
  const { kid } = parsePart(header);
  const { sub } = parsePart(payload);
  const keys = parseJsonObject(bundle).keys;
  const key = Array.isArray(keys) ? keys.find((one) => isJsonObject(one) && one.kid === kid) : undefined;
  if (!isJsonObject(key) || typeof sub !== "string")
    throw new TrustWardenError("signature_invalid", { why: "no key of the bundle" });
  if (!isP256Signature(parseP256Jwk(key), encodeUtf8(`${header}.${payload}`), parseBase64url(signature)))
    throw new TrustWardenError("signature_invalid", { why: "the token is not what its key signed" });
  return links(sub, "jwt", "The token is signed by a key of the trust bundle.");
}

/** A `TrustWarden-Receipt` header, or its JSON. */
async function questionOfReceipt(text: string, keys: FollowedKeys): Promise<EventQuestion> {
  const json = parseReceipt(text);
  const { event_id: eventId, decision, acknowledgement, decision_index: index } = json;
  if (
    typeof eventId !== "string" ||
    typeof decision !== "string" ||
    typeof acknowledgement !== "string" ||
    typeof index !== "number"
  )
    throw new TrustWardenError("receipt_invalid", { reason: "members" });
  const promised = await keys.withKeyAt(index, ({ key }) => verifyAcknowledgement(acknowledgement, key));
  if (promised.index !== index || !isEqualBytes(promised.leafHash, leafHash(encodeUtf8(decision))))
    throw new TrustWardenError("receipt_invalid", { reason: "leaf" });
  // What the log promised, and not what stands beside it: a good receipt under another event's id is no receipt of that.
  if (parseUnverifiedPayload(parseEnvelope(decision)).event_id !== eventId)
    throw new TrustWardenError("receipt_invalid", { reason: "event" });
  const proven = `The log's key promised this decision the place ${promised.index}.`;
  return { kind: "event", eventId, index, proven, isQuoted: false };
}

/**
 * What an agent published elsewhere. It names one event, or nothing is answered: whoever wrote the text chose what stands in it, and a
 * second one would be another's proof beside its words.
 */
async function questionOfPost(text: string, keys: FollowedKeys): Promise<Question> {
  const { receipts, eventIds } = namedIn(text);
  const [receipt, ...more] = receipts;
  if (more.length > 0) throw namesTooMuch();
  const found = receipt === undefined ? null : await questionOfReceipt(receipt, keys);
  const events = new Set([...(found === null ? [] : [found.eventId]), ...eventIds]);
  const [eventId] = events;
  if (eventId === undefined) throw unknown();
  if (events.size > 1) throw namesTooMuch();
  const { index = null, proven = null } = found ?? {};
  return { kind: "event", eventId, index, proven, isQuoted: true };
}

function namesTooMuch(): TrustWardenError {
  return new TrustWardenError("request_malformed", { reason: "more than one event is named; ask about one" });
}

function unknown(cause?: unknown): TrustWardenError {
  const reason = "none of the things that can be asked about";
  return new TrustWardenError("request_malformed", { reason }, { cause });
}

function parseReceipt(text: string): JsonObject {
  try {
    return parseJsonObject(text.startsWith("{") ? text : parseUtf8(parseBase64url(text)));
  } catch (cause) {
    throw unknown(cause);
  }
}

function parsePart(part: string): JsonObject {
  return parseJsonObject(parseUtf8(parseBase64url(part)));
}
