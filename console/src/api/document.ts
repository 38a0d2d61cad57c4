/** What every document begins with that a person signs here: which one it is, for whose server, and how long it counts. */
import { formatSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { callApi } from "./client.ts";

/** The members of a document of now. @throws ApiError. */
export async function beginDocument(ttlSeconds: number) {
  const { trust_domain } = await callApi({ path: "/.well-known/trustwarden", answer: discovery });
  const nowMs = Date.now();
  const iat = Math.floor(nowMs / 1000);
  return {
    v: 1,
    jti: formatUlid(nowMs, (length) => crypto.getRandomValues(new Uint8Array(length))),
    aud: formatSpiffeId(parseTrustDomain(trust_domain), []),
    iat,
    exp: iat + ttlSeconds,
  } as const;
}
