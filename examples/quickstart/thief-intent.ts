/**
 * Intents that a thief signs with a forged identity's key: complete and correct in everything but the identity, so
 * that what refuses them is the proof of who signed.
 */
import { randomBytes } from "node:crypto";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import { formatRequestCommitment, issueIntent } from "@trustwarden/core/intent.ts";
import type { ForgedIdentity } from "./thief-forge.ts";
import type { Attempt } from "./thief-http.ts";

const LIFETIME_SECONDS = 30;

/** What an enforcement point expects an agent to say about one request. */
export interface Meaning {
  readonly origin: string;
  readonly target: string;
  readonly action: string;
  readonly resource: string;
  /** SPIFFE ID of the enforcement point. */
  readonly audience: string;
}

/** A GET with a fresh intent in the victim's name. */
export function forgeVisit(
  { signer, spiffeId, svidSha256 }: ForgedIdentity,
  { origin, target, action, resource, audience }: Meaning,
  agentId: string,
): Attempt {
  const salt = new Uint8Array(randomBytes(32));
  const nowMs = Date.now();
  const { envelope } = issueIntent(
    {
      v: 1,
      event_id: formatUuidV7(nowMs, (length) => new Uint8Array(randomBytes(length))),
      agent: { id: agentId, spiffe_id: spiffeId, svid_sha256: svidSha256 },
      action,
      resource,
      request: formatRequestCommitment({ method: "GET", target, body: new Uint8Array() }, salt),
      params: null,
      aud: audience,
      job: null,
      time: new Date(nowMs).toISOString(),
      exp: Math.floor(nowMs / 1000) + LIFETIME_SECONDS,
      seq: 1,
      prev: null,
      seen: null,
    },
    signer,
  );
  return {
    origin,
    method: "GET",
    target,
    headers: {
      "trustwarden-intent": encodeBase64url(encodeUtf8(envelope)),
      "trustwarden-salt": encodeBase64url(salt),
    },
  };
}
