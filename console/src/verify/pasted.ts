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
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Anchors } from "./anchors.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const PEM = /^-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const MAX_CHARS = 100_000;

/** Where to look in the ledger. */
export type Question =
  | { readonly kind: "event"; readonly eventId: string; readonly proven: string | null }
  | {
      readonly kind: "links";
      readonly agent: string;
      readonly only: "issue" | "jwt" | null;
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
  if (UUID.test(text)) return { kind: "event", eventId: text, proven: null };
  if (text.startsWith("agt_")) return { kind: "agent", id: text };
  if (text.startsWith("own_")) return { kind: "owner", id: text };
  if (text.startsWith("inst-") || text.startsWith("spiffe://")) return links(text, null, null);
  const pem = PEM.exec(text);
  if (pem !== null)
    return questionOfCertificate(parseCertificate(parseBase64((pem[1] ?? "").replaceAll(/\s/g, ""))));
  if (text.startsWith("tree ") || text.startsWith("object ")) return questionOfCommit(pasted);
  if (JWT.test(text)) return questionOfToken(text, bundle);
  return questionOfReceipt(text, keys);
}

function links(agent: string, only: "issue" | "jwt" | null, proven: string | null): Question {
  return { kind: "links", agent, only, proven };
}

function questionOfCertificate({ sha256 }: Certificate): Question {
  // Whether it is one of ours is what the ledger says: the record of its issue carries its digest.
  return links(sha256, "issue", null);
}

/** `git cat-file commit`, as git prints it. */
function questionOfCommit(object: string): Question {
  const kind = object.startsWith("tree ") ? "commit" : "tag";
  const { payload, signature } = splitSigned(kind, object);
  if (signature === null)
    throw new TrustWardenError("signature_invalid", { why: "the object is not signed" });
  const { leaf } = verifyDetachedCms(parseSignedMessage(signature), encodeUtf8(payload));
  return links(leaf.sha256, "issue", `The ${kind} is signed by the key of this certificate.`);
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
async function questionOfReceipt(text: string, keys: FollowedKeys): Promise<Question> {
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
  const proven = `The log's key promised this decision the place ${promised.index}.`;
  return { kind: "event", eventId, proven };
}

function parseReceipt(text: string): JsonObject {
  try {
    return parseJsonObject(text.startsWith("{") ? text : parseUtf8(parseBase64url(text)));
  } catch (cause) {
    throw new TrustWardenError(
      "request_malformed",
      { reason: "none of the things that can be asked about" },
      { cause },
    );
  }
}

function parsePart(part: string): JsonObject {
  return parseJsonObject(parseUtf8(parseBase64url(part)));
}
