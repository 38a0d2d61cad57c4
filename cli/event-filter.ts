/**
 * Events as a person names them: an agent or owner by name or id, a time as an instant or as how long ago.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import { findAgent, instanceIdIn } from "./agents.ts";
import type { Client } from "./client.ts";
import { fetchOwners } from "./owners.ts";

/** Ids as they are; a name must be one that exists, or the empty answer would read as innocence. */
export async function agentIdOf(client: Client, text: string): Promise<string> {
  const isId = text.startsWith("agt_") || instanceIdIn(text) !== undefined;
  return isId ? text : (await findAgent(client, text)).agent.agent_id;
}

/** Ids as they are; a name must be one that exists. */
export async function ownerIdOf(client: Client, text: string): Promise<string> {
  if (text.startsWith("own_")) return text;
  const owners = await fetchOwners(client);
  const found = owners.find(({ name }) => name === text);
  if (found === undefined) throw new TrustWardenError("owner_unknown", { why: `no owner is called ${text}` });
  return found.owner_id;
}

/** An RFC 3339 instant, from one or from a lifetime counted back. */
export function parseInstant(text: string, nowMs: number): string {
  if (/^\d{4}-\d\d-\d\dT/.test(text)) return text;
  return new Date(nowMs - parseTtl(text) * 1000).toISOString();
}
