/**
 * What stands in the ledger before a decision when the agent signed no intent of ours: the proof that it presented, as
 * the gateway verified it, under the server's signature.
 *
 * The proof is DPoP for an access token, or a workload proof token for a WIT-SVID, whose key is then recorded beside it,
 * since that kind of proof does not carry it. It names URL and token; the message signature, where the class of the action asks for one, covers the
 * body too. Its base is kept as a digest: it holds the token and the query. Members are named as they are signed.
 *
 * @see docs/decisions/0019
 */
import { encodeBase64url, encodeUtf8 } from "./bytes.ts";
import { formatThumbprint, type PublicKey, parseP256Jwk, sha256 } from "./crypto.ts";
import { parseDpopProof } from "./dpop.ts";
import { issueEnvelope } from "./dsse.ts";
import { TrustWardenError } from "./error.ts";
import { Fields } from "./fields.ts";
import { parseEventId } from "./id.ts";
import type { JsonObject } from "./json.ts";
import type { Signer } from "./signer.ts";
import { MAX_WPT_SECONDS, parseWorkloadProof } from "./workload-proof.ts";

/** A proof is at most a minute older than its record, and clocks differ a little. */
const MAX_APART_SECONDS = 90;

export interface PresentedIntent {
  readonly v: 1;
  readonly event_id: string;
  readonly agent: { readonly id: string; readonly spiffe_id: string };
  readonly action: string;
  readonly resource: string;
  /** SPIFFE ID of the enforcement point. */
  readonly aud: string;
  /** The access token or WIT-SVID by its `jti`, and the thumbprint of the key that it is bound to. */
  readonly token: { readonly jti: string; readonly jkt: string };
  /** The key itself, public; there for a WIT-SVID and for nothing else. */
  readonly wit_key?: WitKey;
  /** The DPoP proof or workload proof token, exactly as it came. */
  readonly proof: string;
  /** The HTTP message signature by the same key; null where the class asks for none. */
  readonly signature: { readonly base_sha256: string; readonly value: string } | null;
  /** RFC 3339 UTC with milliseconds. */
  readonly time: string;
}

/** A P-256 key as JWK. */
export interface WitKey {
  readonly kty: "EC";
  readonly crv: "P-256";
  readonly x: string;
  readonly y: string;
}

/** What a decision stands behind: an intent of the agent's own, or what it presented instead. */
export interface LoggedIntent {
  readonly intent: Pick<PresentedIntent, "event_id" | "agent" | "action" | "resource" | "aud">;
  /** Exact envelope text; logged byte for byte. */
  readonly envelope: string;
  /** base64url SHA-256 of the envelope's UTF-8 bytes. */
  readonly sha256: string;
}

/** Signs the record. @param keyid - of the server's SVID. */
export function issuePresentedIntent(intent: PresentedIntent, signer: Signer, keyid: string): LoggedIntent {
  const { wit_key: witKey, ...rest } = intent;
  const payload = {
    ...rest,
    agent: { ...intent.agent },
    token: { ...intent.token },
    ...(witKey === undefined ? {} : { wit_key: { ...witKey } }),
    signature: intent.signature && { ...intent.signature },
  };
  // What would not parse as a record must not get under the server's signature.
  requirePossession(parsePresentedIntent(payload));
  const envelope = issueEnvelope("presented-intent", payload, signer, keyid);
  return { intent, envelope, sha256: encodeBase64url(sha256(encodeUtf8(envelope))) };
}

/** @throws TrustWardenError `record_malformed`. */
export function parsePresentedIntent(json: JsonObject): PresentedIntent {
  const fields = new Fields(json, "record_malformed");
  const agent = fields.object("agent");
  const token = fields.object("token");
  const signature =
    json.signature === null ? fields.null("signature") : parseSignature(fields.object("signature"));
  const intent: PresentedIntent = {
    v: fields.version(),
    event_id: parseEventId(fields.text("event_id")),
    agent: { id: agent.text("id"), spiffe_id: agent.text("spiffe_id") },
    action: fields.text("action"),
    resource: fields.text("resource"),
    aud: fields.text("aud"),
    token: { jti: token.text("jti"), jkt: token.digest("jkt") },
    ...(json.wit_key === undefined ? {} : { wit_key: parseWitKey(fields.object("wit_key")) }),
    proof: fields.text("proof", { maxChars: 8192 }),
    signature,
    time: fields.time("time"),
  };
  agent.end();
  token.end();
  fields.end();
  return intent;
}

/**
 * Proves again, from the record alone, that the holder of the token's key asked: the proof is signed by that key, was
 * made for a request at this time, and shows a token.
 *
 * @returns the proof's own name, which no other record of this key may have.
 * @throws TrustWardenError `dpop_invalid` or `wpt_invalid`.
 */
export function requirePossession(presented: PresentedIntent): string {
  const { proof, token, time, wit_key: key } = presented;
  if (key !== undefined) return requireWitPossession(presented, parseP256Jwk(key));
  const { jti, thumbprint, issuedAt, accessTokenSha256 } = parseDpopProof(proof);
  const apart = Math.abs(Date.parse(time) / 1000 - issuedAt);
  if (thumbprint !== token.jkt) throw new TrustWardenError("dpop_invalid", { reason: "another key" });
  if (accessTokenSha256 === null) throw new TrustWardenError("dpop_invalid", { reason: "no token" });
  if (!(apart <= MAX_APART_SECONDS)) throw new TrustWardenError("dpop_invalid", { reason: "another time" });
  return `${thumbprint} ${jti}`;
}

/** The proof names the WIT-SVID by a digest, which only who has the token can compare; its key is the one of the record. */
function requireWitPossession({ proof, token, time }: PresentedIntent, publicKey: PublicKey): string {
  const { jti, expiresAt } = parseWorkloadProof(proof, publicKey);
  const left = expiresAt - Date.parse(time) / 1000;
  if (formatThumbprint(publicKey) !== token.jkt)
    throw new TrustWardenError("wpt_invalid", { reason: "another key" });
  const isOfItsTime = left >= MAX_WPT_SECONDS - MAX_APART_SECONDS && left <= MAX_APART_SECONDS;
  if (!isOfItsTime) throw new TrustWardenError("wpt_invalid", { reason: "another time" });
  return `${token.jkt} ${jti}`;
}

function parseWitKey(key: Fields): WitKey {
  const parsed = {
    kty: key.literal("kty", "EC"),
    crv: key.literal("crv", "P-256"),
    x: key.digest("x"),
    y: key.digest("y"),
  };
  key.end();
  return parsed;
}

function parseSignature(signature: Fields): NonNullable<PresentedIntent["signature"]> {
  const parsed = {
    base_sha256: signature.digest("base_sha256"),
    value: signature.matching("value", /^[A-Za-z0-9_-]{86}$/),
  };
  signature.end();
  return parsed;
}
