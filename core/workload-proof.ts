/**
 * Workload proof tokens (WPT): one request, signed by the key that a WIT-SVID is bound to.
 *
 * Pure: whether a proof is new is state, and so the business of the server. A proof names the target without its query,
 * and neither method nor body; an HTTP message signature by the same key does.
 *
 * @see draft-ietf-wimse-wpt-02 §2; docs/decisions/0027
 */
import { encodeBase64url, encodeUtf8 } from "./bytes.ts";
import { type PublicKey, sha256 } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import { isJsonObject, type JsonObject } from "./json.ts";
import { isJwsOf, issueJws, type JwsForm, parseJws } from "./jws.ts";
import type { Signer } from "./signer.ts";

/** A proof is made for the request that it comes with; one that is good for longer was made to be kept. */
export const MAX_WPT_SECONDS = 60;
/** How far the client's clock may be ahead of ours. */
const CLOCK_SKEW_SECONDS = 10;
const FORM: JwsForm = { typ: "wpt+jwt", headers: [], code: "wpt_invalid" };
const JTI = /^[\x21-\x7e]{8,128}$/;
const DIGEST = /^[A-Za-z0-9_-]{43}$/;
/** More tokens than any request of ours carries. */
const MAX_OTHERS = 8;

/** A proof whose signature is good by the key that was asked for. */
export interface WorkloadProof {
  readonly jti: string;
  /** `aud`: the target without query. */
  readonly audience: string;
  /** `exp`, Unix seconds. */
  readonly expiresAt: number;
  /** `wth`: base64url SHA-256 of the WIT-SVID. */
  readonly witSha256: string;
  /** `tth`: the same of a transaction token; null where none is shown. */
  readonly transactionTokenSha256: string | null;
  /** `oth`: the same of whatever other tokens came along, by the lower-case names of their headers. */
  readonly others: Readonly<Record<string, string>>;
}

/** What a proof has to be for. */
export interface ProvenRequest {
  /** Every spelling of the request's URL, without query and fragment, that is ours. */
  readonly urls: readonly string[];
  /** The WIT-SVID that comes with it, as it came. */
  readonly wit: string;
  /** Lower-case names; each header that is there came once. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * The proof of exactly this request, by this key, made just now.
 *
 * @param publicKey - the `cnf.jwk` of the proven WIT-SVID.
 * @throws TrustWardenError `wpt_invalid`.
 * @see draft-ietf-wimse-wpt-02 §2
 */
export function verifyWorkloadProof(
  text: string,
  publicKey: PublicKey,
  request: ProvenRequest,
): WorkloadProof {
  const proof = parseWorkloadProof(text, publicKey);
  if (!request.urls.includes(proof.audience)) refuse("aud");
  if (proof.witSha256 !== formatTokenDigest(request.wit)) refuse("wth");
  if (!(request.now < proof.expiresAt)) refuse("exp");
  if (proof.expiresAt - request.now > MAX_WPT_SECONDS + CLOCK_SKEW_SECONDS) refuse("too long");
  requireTransactionToken(proof, request.headers["txn-token"]);
  for (const [name, digest] of Object.entries(proof.others)) {
    const value = Object.hasOwn(request.headers, name) ? request.headers[name] : undefined;
    if (value === undefined || formatTokenDigest(value.trim()) !== digest) refuse("oth");
  }
  return proof;
}

/**
 * A proof whose signature is good, whatever it is for; an auditor compares it with what the record says.
 *
 * @throws TrustWardenError `wpt_invalid`.
 */
export function parseWorkloadProof(text: string, publicKey: PublicKey): WorkloadProof {
  const jws = parseJws(text, FORM);
  if (!isJwsOf(publicKey, jws)) refuse("signature");
  const { aud, exp, jti, wth, tth, oth } = jws.unverifiedPayload;
  return {
    jti: textOf(jti, JTI, "jti"),
    audience: textOf(aud, /^[\x21-\x7e]{1,2048}$/, "aud"),
    expiresAt: typeof exp === "number" && Number.isSafeInteger(exp) && exp >= 0 ? exp : refuse("exp"),
    witSha256: textOf(wth, DIGEST, "wth"),
    transactionTokenSha256: tth === undefined ? null : textOf(tth, DIGEST, "tth"),
    others: oth === undefined ? {} : parseOthers(oth),
  };
}

/** Signs a proof for one request. @param options.url - without query; `now` - Unix seconds. */
export function issueWorkloadProof(options: {
  readonly url: string;
  readonly wit: string;
  readonly jti: string;
  readonly now: number;
  readonly signer: Signer;
}): string {
  const { url, wit, jti, now, signer } = options;
  return issueJws({
    header: { typ: FORM.typ },
    payload: { aud: url, exp: now + MAX_WPT_SECONDS, jti, wth: formatTokenDigest(wit) },
    signer,
  });
}

/** base64url SHA-256 of a token's text. */
export function formatTokenDigest(token: string): string {
  return encodeBase64url(sha256(encodeUtf8(token)));
}

/** A token that nobody bound to this request may have been put beside it by somebody else. */
function requireTransactionToken({ transactionTokenSha256 }: WorkloadProof, token: string | undefined): void {
  const expected = token === undefined ? null : formatTokenDigest(token);
  if (transactionTokenSha256 !== expected) refuse("tth");
}

function parseOthers(oth: JsonObject[string]): Readonly<Record<string, string>> {
  if (!isJsonObject(oth) || Object.keys(oth).length > MAX_OTHERS) return refuse("oth");
  return Object.fromEntries(
    Object.entries(oth).map(([name, digest]) => [name, textOf(digest, DIGEST, "oth")]),
  );
}

function textOf(value: JsonObject[string] | undefined, pattern: RegExp, name: string): string {
  return typeof value === "string" && pattern.test(value) ? value : refuse(name);
}

function refuse(reason: string): never {
  throw new TrustWardenError("wpt_invalid", { reason });
}
