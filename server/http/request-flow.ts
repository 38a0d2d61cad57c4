/** Whose a request is, once its caller is proven: of its owner, and within that of the agent or person itself. */
import { type AgentPrincipal, formatPrincipal, type Principal } from "@trustwarden/core/principal.ts";
import type { RequestFlow } from "../intake/request-places.ts";
import type { Caller } from "./caller.ts";

/** The flow of a caller; undefined for those who stay with their address. */
export function flowOfCaller(caller: Caller): RequestFlow | undefined {
  if ("enrolment" in caller) {
    const owner = caller.enrolment.document?.ownerId;
    return typeof owner === "string" ? { owner, agent: "enrolling" } : undefined;
  }
  return flowOf(caller.principal);
}

/** All instances of an agent are one, and gain nothing by being many. */
export function flowOfAgent({ ownerId, agentId, spiffeId }: AgentPrincipal): RequestFlow {
  return { owner: ownerId, agent: agentId, principal: spiffeId };
}

function flowOf(principal: Principal): RequestFlow | undefined {
  const name = formatPrincipal(principal);
  switch (principal.kind) {
    case "agent":
      return flowOfAgent(principal);
    case "owner":
      return { owner: principal.ownerId, agent: name, principal: name };
    case "person":
      return { owner: principal.ownerId ?? name, agent: name, principal: name };
    case "verifier":
    case "node":
      return { owner: name, agent: name, principal: name };
    case "enrollee":
    case "operator":
      return undefined;
  }
}
