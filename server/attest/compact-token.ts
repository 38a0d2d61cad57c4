/**
 * The compact JWS around a platform's token, read strictly before any JWT library sees it.
 *
 * Nothing is believed here. Lenient decoders take padding, white space and other spare bits, which gives one token many
 * texts and walks around "used once"; headers that bring or fetch a key (`jwk`, `jku`, `x5c`, `x5u`) or change what is
 * signed (`crit`, `b64`, `zip`) are refused, not ignored.
 *
 * @see RFC 7515 §3.1 and §5.2; RFC 8725 §3
 */
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { asMalformed, malformed } from "./refusal.ts";

const MAX_TOKEN_CHARS = 16_384;
const MAX_KID_CHARS = 512;
/** Entra adds the certificate's thumbprint; it names a key and brings none. */
const HEADERS: ReadonlySet<string> = new Set(["alg", "kid", "typ", "x5t", "x5t#S256"]);
const TYPES: readonly string[] = ["JWT", "at+jwt"];

/** A token whose signature nobody has checked yet. */
export interface UnverifiedToken {
  readonly unverifiedAlg: string;
  readonly unverifiedKid: string | undefined;
  readonly unverifiedClaims: JsonObject;
  /** base64url SHA-256 of header and payload: the same for each of an ECDSA signature's two forms. */
  readonly digest: string;
}

/**
 * The parts of an untrusted token.
 *
 * @throws TrustWardenError `attestation_malformed`.
 */
export function parseCompactToken(token: string, typ?: string): UnverifiedToken {
  if (token.length > MAX_TOKEN_CHARS) throw malformed("token too long");
  const [header, payload, signature, ...rest] = token.split(".");
  if (!header || !payload || !signature || rest.length > 0) throw malformed("not a compact JWS");
  return asMalformed("token", () => {
    parseBase64url(signature);
    return {
      ...parseHeader(parseObject(header), typ),
      unverifiedClaims: parseObject(payload),
      digest: encodeBase64url(sha256(encodeUtf8(`${header}.${payload}`))),
    };
  });
}

function parseObject(part: string): JsonObject {
  return parseJsonObject(parseUtf8(parseBase64url(part)));
}

function parseHeader(
  header: JsonObject,
  expectedTyp: string | undefined,
): Pick<UnverifiedToken, "unverifiedAlg" | "unverifiedKid"> {
  const { alg, kid, typ } = header;
  if (Object.keys(header).some((name) => !HEADERS.has(name))) throw malformed("unexpected header");
  if (typeof alg !== "string") throw malformed("alg");
  if (!isTypeOf(typ, expectedTyp)) throw malformed("typ");
  if (kid === undefined) return { unverifiedAlg: alg, unverifiedKid: undefined };
  if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_CHARS) throw malformed("kid");
  return { unverifiedAlg: alg, unverifiedKid: kid };
}

/** A token of a kind of its own says so; one that proves who somebody is may say nothing. */
function isTypeOf(typ: JsonObject[string] | undefined, expected: string | undefined): boolean {
  if (expected !== undefined) return typ === expected;
  return typ === undefined || (typeof typ === "string" && TYPES.includes(typ));
}
