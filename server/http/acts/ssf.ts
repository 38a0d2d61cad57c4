/** What a receiver of security events has to know of us: who speaks, with which key, and how it is delivered. */
import type { SsfConfiguration } from "@trustwarden/core/api/ssf.ts";
import { formatP256Jwk, formatThumbprint } from "@trustwarden/core/crypto.ts";
import type { RawAnswer } from "../route.ts";
import type { Services } from "../services.ts";

/** Where the key of security events is found. */
export const SSF_JWKS_PATH = "/ssf/jwks";
const KEY_SECONDS = 300;

/** Streams are the operator's, in `server.json`, so there is no endpoint to manage them. @see SSF 1.0 §7.1 */
export async function describeTransmitter({ jwtIssuer }: Services): Promise<SsfConfiguration> {
  return {
    spec_version: "1_0",
    issuer: jwtIssuer,
    jwks_uri: `${jwtIssuer}${SSF_JWKS_PATH}`,
    delivery_methods_supported: ["urn:ietf:rfc:8935"],
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
