/** What a receiver of security events has to know of us: who speaks, with which key, and where it is asked. */
import type { SsfConfiguration } from "@trustwarden/core/api/ssf.ts";
import { formatP256Jwk, formatThumbprint } from "@trustwarden/core/crypto.ts";
import type { RawAnswer } from "../route.ts";
import type { Services } from "../services.ts";

/** Where the key of security events is found. */
export const SSF_JWKS_PATH = "/ssf/jwks";
/** Where streams are managed. */
export const SSF_PATHS = {
  stream: "/ssf/stream",
  status: "/ssf/status",
  add: "/ssf/subjects/added",
  remove: "/ssf/subjects/removed",
  verification: "/ssf/verification",
} as const;
/** Delivery by poll, which is what a receiver may ask for. */
export const BY_POLL = "urn:ietf:rfc:8936";
/** Delivery by push, which is the operator's setting. */
const BY_PUSH = "urn:ietf:rfc:8935";
/** A certificate that is shown in the handshake (RFC 8705); here it is a verifier's SVID. */
const BY_CERTIFICATE = "urn:ietf:rfc:8705";
const KEY_SECONDS = 300;

/** Where receivers ask: with a certificate of the web where the operator has one for engines and services of others. */
export function ssfBaseOf({ urls }: Pick<Services, "urls">): string {
  const { policy, server } = urls();
  return policy ?? server;
}

/** @see SSF 1.0 §7.1 */
export async function describeTransmitter(services: Services): Promise<SsfConfiguration> {
  const { jwtIssuer } = services;
  const base = ssfBaseOf(services);
  return {
    spec_version: "1_0",
    issuer: jwtIssuer,
    jwks_uri: `${jwtIssuer}${SSF_JWKS_PATH}`,
    delivery_methods_supported: [BY_POLL, BY_PUSH],
    configuration_endpoint: `${base}${SSF_PATHS.stream}`,
    status_endpoint: `${base}${SSF_PATHS.status}`,
    add_subject_endpoint: `${base}${SSF_PATHS.add}`,
    remove_subject_endpoint: `${base}${SSF_PATHS.remove}`,
    verification_endpoint: `${base}${SSF_PATHS.verification}`,
    authorization_schemes: [{ spec_urn: BY_CERTIFICATE }],
    default_subjects: "ALL",
  };
}

/** The key of the server's SVID, which signs them. */
export async function readSsfJwks({ serverKey }: Services): Promise<RawAnswer> {
  const jwk = { ...formatP256Jwk(serverKey), alg: "ES256", kid: formatThumbprint(serverKey), use: "sig" };
  return {
    isRaw: true,
    contentType: "application/json; charset=utf-8",
    cacheControl: `public, max-age=${KEY_SECONDS}`,
    content: JSON.stringify({ keys: [jwk] }),
  };
}
