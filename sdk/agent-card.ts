/**
 * Agent cards of A2A with the identity at hand: signed by the instance's SVID, and believed by it.
 *
 * @see docs/guides/a2a.md
 */
import { issueCardSignature, verifyCard } from "@trustwarden/core/a2a/card.ts";
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { AgentSession } from "./agent-session.ts";
import { nowSeconds } from "./runtime.ts";

/** The card with a signature that counts as long as the SVID of now. @throws TrustWardenError `agent_card_malformed`. */
export function signAgentCard({ holder }: AgentSession, card: JsonObject): JsonObject {
  const { svidChain, key } = holder.current();
  return issueCardSignature(card, { chain: svidChain, signer: key.signer });
}

/**
 * Who published a card, by the trust bundles that the identity knows.
 *
 * @throws TrustWardenError `agent_card_malformed`, `signature_invalid`.
 */
export function verifyAgentCard({ server, runtime }: AgentSession, card: JsonObject): SpiffeId {
  return verifyCard(card, { bundles: server.bundles, now: nowSeconds(runtime) });
}
