/**
 * The calls that the agents of the quickstart make to the finance API: plain `fetch`, by an identity.
 */
import type { AgentIdentity } from "trustwarden";
import type { Facts } from "./conversation.ts";

/** What came of one call. */
export interface CallResult {
  readonly status: number;
  /** Event id of the call's receipt; empty without one. */
  readonly event_id: string;
  readonly body: string;
}

/** One call, with its answer read to the end. */
export async function call(
  agent: AgentIdentity,
  url: string,
  { method = "GET", body }: { readonly method?: string; readonly body?: object } = {},
): Promise<CallResult> {
  const response = await agent.fetch(url, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const text = await response.text();
  return { status: response.status, event_id: eventOf(agent), body: text };
}

/** How many transactions there are, as far as the agent may see. */
export async function readRows(agent: AgentIdentity, url: string): Promise<Facts> {
  const { status, event_id, body } = await call(agent, `${url}/transactions`);
  const json: unknown = JSON.parse(body);
  const rows = isRows(json) ? json.transactions.length : 0;
  return { status, event_id, rows };
}

/** The id in an answer that says which row was written. */
export function idIn({ body }: CallResult): number {
  const json: unknown = JSON.parse(body);
  return typeof json === "object" && json !== null && "id" in json ? Number(json.id) : 0;
}

/** The event of the latest receipt. */
function eventOf(agent: AgentIdentity): string {
  return agent.receipts.at(-1)?.receipt.event_id ?? "";
}

function isRows(json: unknown): json is { readonly transactions: readonly unknown[] } {
  return (
    typeof json === "object" && json !== null && "transactions" in json && Array.isArray(json.transactions)
  );
}
