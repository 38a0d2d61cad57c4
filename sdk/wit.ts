/**
 * WIT-SVIDs from the server: a key is proven, a token comes back, and nobody gets one that is not for exactly this key and
 * this identity.
 *
 * @see WIT-SVID §3, §5; docs/guides/workload-api.md, "WIT-SVIDs"
 */
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { classIdOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyWitSvid, type WitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { type NamedIdentity, type WitSvidAnswer, witSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { AgentSession } from "./agent-session.ts";
import type { InstanceKey } from "./instance-key.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import { encodeBody, type TrustServer } from "./trust-server.ts";

/** What a token of ours is refused with. */
const REFUSED: ReadonlySet<string> = new Set([
  "svid_malformed",
  "svid_untrusted",
  "svid_expired",
  "svid_not_yet_valid",
  "svid_too_long_lived",
  "trust_domain_unknown",
]);

/** A token and what proves possession of its key. */
export interface AgentWit {
  /** Compact JWS. Never a bearer token: without a proof made with `signer` it says nothing about who shows it. */
  readonly token: string;
  /** Makes ES256 proofs; the private key cannot be read. */
  readonly signer: Signer;
  /** RFC 7638 thumbprint of the key, base64url. */
  readonly thumbprint: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** A token for a key, in the name of the calling instance or its class. @throws TrustWardenError `wit_disabled`, the server's refusal, `server_untrusted`. */
export async function fetchWit(
  session: AgentSession,
  key: InstanceKey,
  identity: NamedIdentity = "instance",
): Promise<WitSvidAnswer> {
  const { server, runtime } = session;
  const { svid } = session.holder.current();
  const proof = await proveForSvid({ server, key, svidSha256: svid.leaf.sha256 });
  const answer = await session.call({
    action: "issue:jwt-svid",
    method: "POST",
    target: "/v1/wit-svids",
    body: encodeBody({ ...proof, identity }),
    schema: witSvidAnswer,
  });
  const id = identity === "class" ? classIdOf(svid.id) : svid.id;
  return verifyIssuedWit(answer, { server, key, id, runtime });
}

/** `spki` and `possession` of a request: the key, proven for one SVID. */
export async function proveForSvid(options: {
  readonly server: TrustServer;
  readonly key: InstanceKey;
  readonly svidSha256: string;
}): Promise<JsonObject> {
  const { server, key, svidSha256 } = options;
  const nonce = await server.takeNonce();
  const possession = issuePossession({ nonce, enrolmentSha256: svidSha256 }, key.signer);
  return { possession, spki: encodeBase64url(key.spki) };
}

/** @throws TrustWardenError `server_untrusted` for a token of another key or id, or one that our bundle does not prove. */
export async function verifyIssuedWit(
  answer: WitSvidAnswer,
  options: {
    readonly server: TrustServer;
    readonly key: InstanceKey;
    readonly id: string;
    readonly runtime: Runtime;
  },
): Promise<WitSvidAnswer> {
  const { server, key, id, runtime } = options;
  const { thumbprint } = key;
  const prove = () =>
    verifyWitOf(answer.svid, { bundles: server.bundles, now: nowSeconds(runtime), id, thumbprint });
  try {
    return { ...answer, expires_at: (await proveTwice(prove, server)).expiresAt };
  } catch (cause) {
    // A server that is proven, and gives what nobody may believe.
    if (!(cause instanceof TrustWardenError) || !REFUSED.has(cause.code)) throw cause;
    throw new TrustWardenError("server_untrusted", { reason: cause.code }, { cause });
  }
}

/**
 * A token that is for this key and this identity.
 *
 * @throws TrustWardenError as `verifyWitSvid`; `server_untrusted` for a token of another key or id.
 */
export function verifyWitOf(
  token: string,
  {
    id,
    thumbprint,
    ...proof
  }: Parameters<typeof verifyWitSvid>[1] & { readonly id: string; readonly thumbprint: string },
): WitSvid {
  const proven = verifyWitSvid(token, proof);
  const isOurs = proven.id === id && proven.confirmationThumbprint === thumbprint;
  if (!isOurs) throw new TrustWardenError("server_untrusted", { reason: "a token of another key or id" });
  return proven;
}

/** The key that signs may be newer than our bundle; then the bundle is read again, once. */
async function proveTwice(prove: () => WitSvid, server: TrustServer): Promise<WitSvid> {
  try {
    return prove();
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.code !== "svid_untrusted") throw error;
    await server.refresh();
    return prove();
  }
}
