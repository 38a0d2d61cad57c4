/** Answers the questions about tokens, their keys, and what a pin leads to, as the TypeScript SDK does. */
import { parseBundleMap } from "@trustwarden/core/agentid/bundle-map.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { requireSuccession } from "@trustwarden/core/agentid/succession.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import { z } from "zod";
import { verifyWitOf } from "../../sdk/wit.ts";
import { parseJwtBundles } from "../../sdk/workload-api/answers.ts";
import { verifyWorkloadToken } from "../../sdk/workload-api/verify-token.ts";

const keySet = z.object({ keys: z.array(z.json()) });
const jwtShape = keySet.extend({
  token: z.string(),
  trust_domain: z.string(),
  audience: z.string(),
  now: z.number(),
});
const witShape = z.object({
  token: z.string(),
  bundle: z.string(),
  trust_domain: z.string(),
  id: z.string(),
  thumbprint: z.string(),
  now: z.number(),
});
const successionShape = z.object({
  texts: z.array(z.string()),
  trust_domain: z.string(),
  pin: z.string(),
  target: z.string(),
});

/** By the name of the check. */
export const TOKEN_JUDGES: Readonly<Record<string, (input: unknown) => Json>> = {
  jwt_svid: (input) => {
    const { token, keys, trust_domain, audience, now } = jwtShape.parse(input);
    const bundles = bundlesOf(keys, trust_domain);
    const { id, audience: named, expiresAt } = verifyWorkloadToken(token, { bundles, audience, now });
    return { id, audience: [...named], expires_at: expiresAt };
  },
  jwt_keys: (input) => {
    const [bundle] = bundlesOf(keySet.parse(input).keys, "acme.test").values();
    return [...(bundle?.jwtAuthorities.keys() ?? [])].sort();
  },
  wit_svid: (input) => {
    const { token, bundle, trust_domain, id, thumbprint, now } = witShape.parse(input);
    const trustDomain = parseTrustDomain(trust_domain);
    const bundles = new Map([[trustDomain, parseTrustBundle(bundle, trustDomain)]]);
    return { expires_at: verifyWitOf(token, { bundles, now, id, thumbprint }).expiresAt };
  },
  succession: (input) => {
    const { texts, trust_domain, ...ends } = successionShape.parse(input);
    requireSuccession(texts, { trustDomain: parseTrustDomain(trust_domain), ...ends });
    return null;
  },
  bundle_map: (input) => {
    const found = [...parseBundleMap(z.object({ text: z.string() }).parse(input).text)];
    return found
      .map(([name, { sequence, x509Authorities }]): Json => [name, sequence, x509Authorities.length])
      .sort((left, right) => (String(left) < String(right) ? -1 : 1));
  },
};

function bundlesOf(keys: readonly Json[], trustDomain: string) {
  const document: JsonObject = { keys };
  return parseJwtBundles(new Map([[`spiffe://${trustDomain}`, encodeUtf8(JSON.stringify(document))]]));
}
