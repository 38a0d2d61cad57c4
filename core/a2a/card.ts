/**
 * Agent cards of A2A, signed by the agent that they describe.
 *
 * The key is the instance's SVID key, and its chain goes along: whoever has the trust bundle can say which live instance
 * published the card, and the card counts no longer than the SVID does. A key of the server's would say only that the
 * server had seen the card. Nobody is asked here: a revoked instance's card verifies until its SVID ends.
 *
 * The protocol signs a card without its empty values. Where those mean something (a requirement with no scopes, one more
 * alternative that asks for nothing) anybody could put them in or take them out, so no such card is signed or believed.
 *
 * @see A2A 1.0.1 §8.4: JWS (RFC 7515) over RFC 8785, without default values and without `signatures`
 */

import { parseCertificate } from "../agentid/certificate.ts";
import type { BundleSource } from "../agentid/ports.ts";
import type { SpiffeId } from "../agentid/spiffe-id.ts";
import { verifyX509Svid } from "../agentid/x509-svid.ts";
import {
  encodeBase64,
  encodeBase64url,
  encodeUtf8,
  parseBase64,
  parseBase64url,
  parseUtf8,
} from "../bytes.ts";
import { isP256Signature } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { encodeCanonicalJson, isJsonObject, type Json, type JsonObject, parseJsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";

/** Booleans that the protocol's schema leaves out when they are false; others are kept as they are. */
const DEFAULT_FALSE: readonly string[] = ["required", "pkceRequired"];
/** Members of a card; a reader of the schema would drop any other, and so see another card than was signed. */
const MEMBERS: readonly string[] = [
  "name",
  "description",
  "supportedInterfaces",
  "provider",
  "version",
  "documentationUrl",
  "capabilities",
  "securitySchemes",
  "securityRequirements",
  "defaultInputModes",
  "defaultOutputModes",
  "skills",
  "signatures",
  "iconUrl",
];
/** Members, of the card or of a skill, below which nothing may be left out. */
const SECURITY: readonly string[] = ["securitySchemes", "securityRequirements"];
const MAX_SIGNATURES = 8;
const MAX_CERTIFICATES = 4;

/** The bytes that are signed. @throws TrustWardenError `agent_card_malformed`. */
export function encodeCardPayload(card: JsonObject): Uint8Array {
  const unknown = Object.keys(card).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined) throw malformed(`unknown member ${unknown.slice(0, 64)}`);
  const { signatures: _, ...rest } = card;
  return encodeCanonicalJson(clean(rest) ?? {});
}

/**
 * The card with one more signature, by an SVID's key.
 *
 * @param options.chain - DER, leaf first.
 * @throws TrustWardenError `agent_card_malformed`, `no_svid`.
 */
export function issueCardSignature(
  card: JsonObject,
  { chain, signer }: { readonly chain: readonly Uint8Array[]; readonly signer: Signer },
): JsonObject {
  const [leaf] = chain.map(parseCertificate);
  if (leaf === undefined) throw new TrustWardenError("no_svid");
  const header = { alg: "ES256", kid: leaf.sha256, typ: "JOSE", x5c: chain.map((der) => encodeBase64(der)) };
  const protectedText = encodeBase64url(encodeCanonicalJson(header));
  const input = encodeUtf8(`${protectedText}.${encodeBase64url(encodeCardPayload(card))}`);
  const signature = encodeBase64url(signer.sign(input));
  return { ...card, signatures: [...signaturesOf(card), { protected: protectedText, signature }] };
}

/**
 * Who published the card: the first signature by an SVID that counts now.
 *
 * @throws TrustWardenError `agent_card_malformed`, or `signature_invalid` when no signature holds.
 */
export function verifyCard(
  card: JsonObject,
  { bundles, now }: { readonly bundles: BundleSource; readonly now: number },
): SpiffeId {
  const payload = encodeBase64url(encodeCardPayload(card));
  const causes: unknown[] = [];
  for (const entry of signaturesOf(card)) {
    try {
      return verifySignature(entry, payload, { bundles, now });
    } catch (cause) {
      // Another signature may hold; when none does, the card is refused with what was found.
      if (!(cause instanceof TrustWardenError)) throw cause;
      causes.push(cause);
    }
  }
  throw new TrustWardenError("signature_invalid", { reason: "no signature holds" }, { cause: causes[0] });
}

function verifySignature(
  entry: Json,
  payload: string,
  context: { readonly bundles: BundleSource; readonly now: number },
): SpiffeId {
  if (!isJsonObject(entry)) throw malformed("signature");
  const { protected: text, signature } = entry;
  if (typeof text !== "string" || typeof signature !== "string") throw malformed("signature");
  const { alg, kid, typ, x5c, crit } = parseJsonObject(parseUtf8(parseBase64url(text)));
  if (alg !== "ES256" || typ !== "JOSE" || crit !== undefined) throw malformed("header");
  if (!Array.isArray(x5c) || x5c.length > MAX_CERTIFICATES) throw malformed("x5c");
  const chain = x5c.map((der: Json) => (typeof der === "string" ? parseBase64(der) : new Uint8Array()));
  const { id, leaf } = verifyX509Svid(chain, context.bundles, context.now);
  if (kid !== leaf.sha256) throw malformed("kid");
  const input = encodeUtf8(`${text}.${payload}`);
  if (!isP256Signature(leaf.publicKey, input, parseBase64url(signature)))
    throw new TrustWardenError("signature_invalid");
  return id;
}

function signaturesOf({ signatures }: JsonObject): readonly Json[] {
  if (signatures === undefined) return [];
  if (!Array.isArray(signatures) || signatures.length > MAX_SIGNATURES) throw malformed("signatures");
  return signatures;
}

/**
 * Without what the schema takes for absent: empty texts, lists and objects, null, and some booleans.
 *
 * @param place - the member's name, and whether it lies below one of `SECURITY`.
 * @throws TrustWardenError `agent_card_malformed` for what would change the meaning of what is left.
 */
function clean(value: Json, place = { name: "", isSecurity: false }): Json | undefined {
  const { name, isSecurity } = place;
  if (value === null || value === "" || (value === false && DEFAULT_FALSE.includes(name))) return undefined;
  const isBelow = isSecurity || SECURITY.includes(name);
  if (Array.isArray(value)) {
    const items = value.map((item: Json) => {
      const kept = clean(item, { name: "", isSecurity: isBelow });
      if (kept === undefined) throw malformed(`an empty item of ${name.slice(0, 64)} would not be signed`);
      return kept;
    });
    return items.length === 0 ? undefined : items;
  }
  if (!isJsonObject(value)) return value;
  const members = Object.entries(value).flatMap(([key, member]) => {
    const kept = clean(member, { name: key, isSecurity: isBelow });
    if (kept === undefined && isBelow) throw malformed(`an empty ${key.slice(0, 64)} would not be signed`);
    return kept === undefined ? [] : [[key, kept] as const];
  });
  return members.length === 0 ? undefined : Object.fromEntries(members);
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("agent_card_malformed", { reason });
}
