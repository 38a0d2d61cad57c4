/** What the server knows of a signature: that it was decided, by whom and when, and what became of its signer. */
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import type { AgentInstance } from "../agents.ts";
import { type Client, formatTarget } from "../client.ts";
import type { Signing } from "./signing.ts";
import type { GitSignature } from "./verify.ts";

/** Between the decision and the time in the signature: two processes of one machine, and slow ones. */
const MAX_APART_SECONDS = 300;
/** Records of one instance about one object; more are somebody's game. */
const MAX_RECORDS = 100;

/**
 * Whether a signer counts. What a ref comes to point to is brought now, by somebody who lives; what lies below was made when
 * the record says, and the end of a short life takes nothing back. A revocation does.
 */
export function isSignerInForce(
  status: AgentInstance["status"],
  { isTip }: { readonly isTip: boolean },
): boolean {
  return status === "live" || (status === "expired" && !isTip);
}

/** Whether this instance was allowed to sign exactly this, when the signature says that it did. */
export async function isSigningRecorded(
  client: Client,
  { action, resource }: Signing,
  { spiffeId, signedAt }: GitSignature,
): Promise<boolean> {
  const filter = { agent: spiffeId, action, resource, kind: "action", limit: MAX_RECORDS };
  const { events } = await client.get(formatTarget("/v1/events", filter), eventPage);
  return events.some(
    (event) =>
      event.agent_identity === spiffeId &&
      event.action === action &&
      event.resource === resource &&
      // An intent that was not decided is pending as well, and says no enforcement.
      event.enforcement === "self" &&
      (event.outcome === "success" || event.outcome === "pending") &&
      Math.abs(Date.parse(event.timestamp) / 1000 - signedAt) <= MAX_APART_SECONDS,
  );
}
