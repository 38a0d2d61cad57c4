/**
 * What every child agent does first: make a key in its own process, ask its parent (another process) for a grant, and
 * become an identity. Only the request and the grant travel; the key stays.
 */
import { AgentIdentity, type IdentityRequest } from "trustwarden";
import type { Facts, Skills } from "./conversation.ts";

/** The two halves of becoming a child, and the identity in between. */
export interface ChildAgent {
  readonly skills: Skills;
  /** The identity; throws before `complete` has succeeded. */
  readonly identity: () => AgentIdentity;
}

/** A child that asks for this name and scope. */
export function createChildAgent(name: string, scope: readonly string[]): ChildAgent {
  let request: IdentityRequest | undefined;
  let identity: AgentIdentity | undefined;
  return {
    identity: () => {
      if (identity === undefined) throw new Error(`${name} has no identity yet`);
      return identity;
    },
    skills: {
      request: async () => {
        request = AgentIdentity.request({ name, scope, ttl: "1h" });
        return { request: request.text };
      },
      complete: async ({ grant }): Promise<Facts> => {
        if (request === undefined) throw new Error("nothing was requested");
        identity = await request.complete(String(grant));
        return { id: identity.id, agent_id: identity.agentId, scope: identity.scope };
      },
    },
  };
}
