/**
 * The proof beside a WIT-SVID at a token endpoint: one request to one authorization server, signed by the token's key.
 *
 * Pure: whether a proof is new is state. It says nothing of the form that it comes with, so what it buys has to be bound
 * to the same key.
 *
 * @see draft-ietf-oauth-attestation-based-client-auth-11 §5.1; draft-ietf-oauth-spiffe-client-auth-02 §3.3
 */
import type { PublicKey } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import { isJwsOf, issueJws, type JwsForm, parseJws } from "./jws.ts";
import type { Signer } from "./signer.ts";

/** A proof is made for the request that it comes with. */
const MAX_AGE_SECONDS = 60;
/** How far the client's clock may be ahead of ours. */
const CLOCK_SKEW_SECONDS = 10;
const FORM: JwsForm = {
  typ: "oauth-client-attestation-pop+jwt",
  headers: [],
  code: "client_attestation_invalid",
};
const JTI = /^[\x21-\x7e]{8,128}$/;

/** What a proof has to be for. */
export interface AttestedRequest {
  /** The authorization server's issuer. */
  readonly audience: string;
  /** SPIFFE ID of the WIT-SVID; a proof that names another client was made for another token. */
  readonly clientId: string;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * The proof of a request, by this key, made just now.
 *
 * @param publicKey - the `cnf.jwk` of the proven WIT-SVID.
 * @returns the proof's own name, which counts once for this key.
 * @throws TrustWardenError `client_attestation_invalid`.
 */
export function verifyClientAttestation(
  text: string,
  publicKey: PublicKey,
  { audience, clientId, now }: AttestedRequest,
): { readonly jti: string } {
  const jws = parseJws(text, FORM);
  if (!isJwsOf(publicKey, jws)) refuse("signature");
  const { aud, iat, jti, iss, exp } = jws.unverifiedPayload;
  if (aud !== audience) refuse("aud");
  if (iss !== undefined && iss !== clientId) refuse("iss");
  if (typeof iat !== "number" || !Number.isSafeInteger(iat) || iat > now + CLOCK_SKEW_SECONDS)
    return refuse("iat");
  if (now - iat > MAX_AGE_SECONDS) refuse("too old");
  if (exp !== undefined && !(typeof exp === "number" && now < exp)) refuse("exp");
  return typeof jti === "string" && JTI.test(jti) ? { jti } : refuse("jti");
}

/** Signs a proof for one request. */
export function issueClientAttestation(
  { audience, clientId, now }: AttestedRequest,
  options: { readonly jti: string; readonly signer: Signer },
): string {
  const { jti, signer } = options;
  return issueJws({
    header: { typ: FORM.typ },
    payload: { iss: clientId, aud: audience, iat: now, jti },
    signer,
  });
}

function refuse(reason: string): never {
  throw new TrustWardenError("client_attestation_invalid", { reason });
}
