/**
 * A compact JWS signed with ES256, read strictly: three parts, one spelling of each, one algorithm, and only the
 * header members that its kind of token knows. Nothing of a token is believed here but its form.
 *
 * JWT-SVIDs have a reader of their own (`agentid/jwt-svid-jws.ts`), whose headers the SPIFFE standard closes.
 *
 * @see RFC 7515 §5.2; RFC 8725
 */
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "./bytes.ts";
import { isP256Signature, type PublicKey } from "./crypto.ts";
import { type ErrorCode, TrustWardenError } from "./error.ts";
import { encodeCanonicalJson, type JsonObject, parseJsonObject } from "./json.ts";
import type { Signer } from "./signer.ts";

/** Fits every HTTP header and leaves no room for a bomb. */
const MAX_JWS_CHARS = 8192;

/** A parsed token whose signature nobody has checked. */
export interface UnverifiedJws {
  readonly unverifiedHeader: JsonObject;
  readonly unverifiedPayload: JsonObject;
  /** Exact bytes under the signature. */
  readonly signingInput: Uint8Array;
  /** r||s; 64 bytes if it is to be a good one. */
  readonly signature: Uint8Array;
}

/** What a kind of token looks like. */
export interface JwsForm {
  /** The one `typ` that it has, so that no token stands in for one of another kind. */
  readonly typ: string;
  /** Header members besides `alg` and `typ`, each of which must be there. */
  readonly headers: readonly string[];
  /** Code of every refusal. */
  readonly code: ErrorCode;
}

/**
 * The parts of an untrusted ES256 token of one kind. `crit`, `jku` and whatever else the kind does not know is refused.
 *
 * @throws TrustWardenError the code of the form.
 */
export function parseJws(text: string, form: JwsForm): UnverifiedJws {
  const [header, payload, signature, ...rest] = text.length > MAX_JWS_CHARS ? [] : text.split(".");
  if (!header || !payload || !signature || rest.length > 0) return refuse(form, "not a compact JWS");
  try {
    const unverifiedHeader = parseJsonObject(parseUtf8(parseBase64url(header)));
    requireHeader(unverifiedHeader, form);
    return {
      unverifiedHeader,
      unverifiedPayload: parseJsonObject(parseUtf8(parseBase64url(payload))),
      signingInput: encodeUtf8(`${header}.${payload}`),
      signature: parseBase64url(signature),
    };
  } catch (cause) {
    // What is a bad request elsewhere is a bad credential here.
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError(form.code, { reason: cause.details.reason ?? cause.code }, { cause });
  }
}

/** Whether a key signed a token. */
export function isJwsOf(key: PublicKey, { signingInput, signature }: UnverifiedJws): boolean {
  return isP256Signature(key, signingInput, signature);
}

/** A compact JWS: canonical JSON in both parts, signed with ES256. @see RFC 7515 §7.1 */
export function issueJws(options: {
  readonly header: JsonObject;
  readonly payload: JsonObject;
  readonly signer: Signer;
}): string {
  const { header, payload, signer } = options;
  if (signer.algorithm !== "ES256") throw new Error("tokens are signed with ES256");
  const input = [{ ...header, alg: "ES256" }, payload]
    .map((part) => encodeBase64url(encodeCanonicalJson(part)))
    .join(".");
  return `${input}.${encodeBase64url(signer.sign(encodeUtf8(input)))}`;
}

/** The algorithm is ours to name, never the token's. */
function requireHeader(header: JsonObject, form: JwsForm): void {
  if (header.alg !== "ES256") refuse(form, "alg");
  if (header.typ !== form.typ) refuse(form, "typ");
  const members = ["alg", "typ", ...form.headers];
  if (Object.keys(header).length !== members.length) refuse(form, "header");
  if (members.some((name) => !Object.hasOwn(header, name))) refuse(form, "header");
}

function refuse({ code }: JwsForm, reason: string): never {
  throw new TrustWardenError(code, { reason });
}
