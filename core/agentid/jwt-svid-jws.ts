/**
 * The compact JWS around a JWT-SVID or WIT-SVID, read strictly: three parts, one spelling of each, one algorithm, three
 * headers.
 *
 * Nothing of a token is believed here. Lenient base64url decoders take padding, white space and other spare bits, so
 * one token has many texts and a list of revoked texts is easily walked around; this parser takes one.
 *
 * @see JWT-SVID §1, §2 and §5.1; WIT-SVID §2; RFC 7515 §5.2
 */
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "../bytes.ts";
import { isP256Signature } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { encodeCanonicalJson, type Json, type JsonObject, parseJsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";

/** Fits every HTTP header and leaves no room for a bomb. */
const MAX_TOKEN_CHARS = 8192;
const MAX_KID_CHARS = 256;
/** JWT-SVID §2: "Any header not described here ... MUST NOT be included"; keeps out jwk, jku, x5c, crit and b64. */
const HEADERS: ReadonlySet<string> = new Set(["alg", "kid", "typ"]);
/** JWT-SVID §2.3; WIT-SVID §2. */
const TYPES: Readonly<Record<TokenProfile, readonly (Json | undefined)[]>> = {
  "jwt-svid": [undefined, "JWT", "JOSE"],
  "wit-svid": ["wit+jwt"],
};

/**
 * A compact JWS: canonical JSON in both parts, signed with ES256 and proven before it leaves.
 *
 * @see RFC 7515 §7.1
 */
export function issueCompactJws(options: {
  readonly header: { readonly alg: "ES256"; readonly kid: string; readonly typ: string };
  readonly payload: JsonObject;
  readonly signer: Signer;
}): string {
  const { header, payload, signer } = options;
  if (signer.algorithm !== "ES256") throw new Error("JWTs are signed with ES256");
  const input = [header, payload].map((part) => encodeBase64url(encodeCanonicalJson(part))).join(".");
  const signature = signer.sign(encodeUtf8(input));
  if (!isP256Signature(signer.publicKey, encodeUtf8(input), signature))
    throw new Error("the signer is broken");
  return `${input}.${encodeBase64url(signature)}`;
}

/** What a token has to say that it is: a JWT-SVID may say nothing, a WIT-SVID says so and names its key. */
export type TokenProfile = "jwt-svid" | "wit-svid";

/** A parsed token whose signature nobody has checked yet. */
export interface UnverifiedJws {
  /** Only a hint for finding the key. */
  readonly unverifiedKid: string | undefined;
  readonly unverifiedPayload: Uint8Array;
  /** Exact bytes under the signature. */
  readonly signingInput: Uint8Array;
  /** r||s; 64 bytes if it is to be a good one. */
  readonly signature: Uint8Array;
}

/**
 * The parts of an untrusted ES256 token of one profile; one of the other is refused, so that neither passes for the other.
 *
 * @throws TrustWardenError `svid_malformed`.
 */
export function parseCompactJws(token: string, profile: TokenProfile = "jwt-svid"): UnverifiedJws {
  if (token.length > MAX_TOKEN_CHARS) throw malformed("too long");
  const [header, payload, signature, ...rest] = token.split(".");
  if (!header || !payload || !signature || rest.length > 0) throw malformed("not a compact JWS");
  return asSvidMalformed(() => ({
    unverifiedKid: parseHeader(parseJsonObject(parseUtf8(parseBase64url(header))), profile),
    unverifiedPayload: parseBase64url(payload),
    signingInput: encodeUtf8(`${header}.${payload}`),
    signature: parseBase64url(signature),
  }));
}

/**
 * The JSON object in a token's payload.
 *
 * @throws TrustWardenError `svid_malformed`, also for a claim that appears twice.
 */
export function parsePayload(payload: Uint8Array): JsonObject {
  return asSvidMalformed(() => parseJsonObject(parseUtf8(payload)));
}

/** Checks the header and returns its `kid`; the algorithm is ours to name, never the token's. */
function parseHeader(header: JsonObject, profile: TokenProfile): string | undefined {
  const { alg, kid, typ } = header;
  if (alg !== "ES256") throw malformed("alg");
  if (!TYPES[profile].includes(typ)) throw malformed("typ");
  if (Object.keys(header).some((name) => !HEADERS.has(name))) throw malformed("header");
  if (kid === undefined && profile === "jwt-svid") return undefined;
  if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_CHARS) throw malformed("kid");
  return kid;
}

/** What is a bad request elsewhere is a bad credential here. */
function asSvidMalformed<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("svid_malformed", { reason: cause.details.reason ?? cause.code }, { cause });
  }
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("svid_malformed", { reason });
}
