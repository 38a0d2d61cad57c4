/**
 * The compact JWS around a JWT-SVID or WIT-SVID, read strictly: three parts, one spelling of each, the reader's algorithms
 * alone, three headers.
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
/** Our own tokens, and all that our guard and our server read, have this one. */
const OURS: ReadonlySet<string> = new Set(["ES256"]);
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
  /** One of those that the reader asked for; whether the key is of that kind is still to be checked. */
  readonly algorithm: string;
  /** Only a hint for finding the key. */
  readonly unverifiedKid: string | undefined;
  readonly unverifiedPayload: Uint8Array;
  /** Exact bytes under the signature. */
  readonly signingInput: Uint8Array;
  /** r||s; 64 bytes if it is to be a good one. */
  readonly signature: Uint8Array;
}

/**
 * The parts of an untrusted token of one profile; one of the other is refused, so that neither passes for the other.
 *
 * @param algorithms - what the reader can check; ES256 alone unless given.
 * @throws TrustWardenError `svid_malformed`.
 */
export function parseCompactJws(
  token: string,
  profile: TokenProfile = "jwt-svid",
  algorithms: ReadonlySet<string> = OURS,
): UnverifiedJws {
  if (token.length > MAX_TOKEN_CHARS) throw malformed("too long");
  const [header, payload, signature, ...rest] = token.split(".");
  if (!header || !payload || !signature || rest.length > 0) throw malformed("not a compact JWS");
  return asSvidMalformed(() => ({
    ...parseHeader(parseJsonObject(parseUtf8(parseBase64url(header))), { profile, algorithms }),
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

/** The algorithm is one that the reader names, never any that the token likes. */
function parseHeader(
  header: JsonObject,
  { profile, algorithms }: { readonly profile: TokenProfile; readonly algorithms: ReadonlySet<string> },
): Pick<UnverifiedJws, "algorithm" | "unverifiedKid"> {
  const { alg, kid, typ } = header;
  if (typeof alg !== "string" || !algorithms.has(alg)) throw malformed("alg");
  if (!TYPES[profile].includes(typ)) throw malformed("typ");
  if (Object.keys(header).some((name) => !HEADERS.has(name))) throw malformed("header");
  if (kid === undefined && profile === "jwt-svid") return { algorithm: alg, unverifiedKid: undefined };
  if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_CHARS) throw malformed("kid");
  return { algorithm: alg, unverifiedKid: kid };
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
