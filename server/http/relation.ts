/**
 * Who is acted on, seen from the caller: the word that the control-plane policy decides by.
 *
 * What does not exist is `other`, exactly as what belongs to somebody else, so that nobody learns which it was.
 */
import { isForNode } from "@trustwarden/core/agentid/registration-entry.ts";
import type { Subject } from "@trustwarden/core/agentscope/policy-input.ts";
import type { NodePrincipal, PersonPrincipal, Principal } from "@trustwarden/core/principal.ts";
import { isWide } from "@trustwarden/core/role.ts";
import type { StoreReads } from "../store/ports.ts";

/** Something that can be named in the control plane. */
export type Target =
  | { readonly kind: "instance"; readonly id: string }
  | { readonly kind: "agent"; readonly id: string }
  | { readonly kind: "owner"; readonly id: string }
  /** The list of an owner's agents, and nothing else of the owner. */
  | { readonly kind: "agents-of"; readonly id: string }
  | { readonly kind: "entry"; readonly id: string }
  | { readonly kind: "approval"; readonly id: string };

type Reads = Pick<
  StoreReads,
  "findInstance" | "findAgent" | "findEntry" | "findApproval" | "isDescendant" | "administersOwner"
>;

/** The relation of a target to a principal. */
export function relationOf(reads: Reads, principal: Principal, target: Target): Subject {
  switch (principal.kind) {
    case "agent":
      return relationToAgent(reads, principal.instanceId, target);
    case "owner":
      return relationToOwner(reads, principal.ownerId, target);
    case "person":
      return relationToPerson(reads, principal, target);
    case "verifier":
      return target.kind === "instance" && target.id === principal.instanceId ? "self" : "other";
    case "node":
      return relationToNode(reads, principal, target);
    case "enrollee":
    case "operator":
      return "none";
  }
}

/** The owner whose agents and events alone a principal may see; undefined for who sees everybody's. */
export function ownerLimitOf(principal: Principal): string | undefined {
  if (principal.kind === "owner") return principal.ownerId;
  if (principal.kind !== "person" || isWide(principal.roles)) return undefined;
  if (principal.ownerId === null) throw new Error("a person who sees not everything is an owner");
  return principal.ownerId;
}

/** What is its own is that of the owner that it is; the rest is nobody's in particular for who sees everybody's. */
function relationToPerson(reads: Reads, person: PersonPrincipal, target: Target): Subject {
  const { ownerId, roles } = person;
  const own = ownerId === null ? "other" : relationToOwner(reads, ownerId, target);
  if (own !== "other") return own;
  if (isWide(roles)) return "none";
  return isOfMember(reads, person, target) ? "descendant" : "other";
}

/** Below an organization's admin are its members' agents: not their owners, nor what waits for these, nor their entries. */
function isOfMember(reads: Reads, { personId }: PersonPrincipal, target: Target): boolean {
  const ownerId = ownerOfTarget(reads, target);
  return ownerId !== undefined && reads.administersOwner({ personId, ownerId });
}

function ownerOfTarget(reads: Reads, { kind, id }: Target): string | undefined {
  switch (kind) {
    case "agents-of":
      return id;
    case "agent":
      return reads.findAgent(id)?.ownerId;
    case "instance":
      return reads.findInstance(id)?.ownerId ?? undefined;
    case "owner":
    case "entry":
    case "approval":
      return undefined;
  }
}

/** An organization, seen from whoever asks who belongs to it: its own admin, or who sees everybody. */
export function relationToOrganization(
  reads: Pick<StoreReads, "listMembershipsOf">,
  principal: Principal,
  organizationId: string,
): Subject {
  if (principal.kind !== "person") return principal.kind === "operator" ? "none" : "other";
  if (isWide(principal.roles)) return "none";
  const own = reads
    .listMembershipsOf(principal.personId)
    .find((membership) => membership.organizationId === organizationId);
  return own?.role === "admin" ? "descendant" : "other";
}

/** Whether a principal who sees not everything may see the agents of an owner. */
export function reachesOwner(
  reads: Pick<StoreReads, "administersOwner">,
  principal: Principal,
  ownerId: string,
): boolean {
  if (ownerLimitOf(principal) === ownerId) return true;
  return principal.kind === "person" && reads.administersOwner({ personId: principal.personId, ownerId });
}

function relationToAgent(reads: Reads, instanceId: string, target: Target): Subject {
  if (target.kind === "approval")
    return reads.findApproval(target.id)?.instanceId === instanceId ? "self" : "other";
  if (target.kind !== "instance") return "other";
  if (target.id === instanceId) return "self";
  const isBelow = reads.isDescendant({ instanceId: target.id, ancestorInstanceId: instanceId });
  return isBelow ? "descendant" : "other";
}

/** Below a node are the entries that name its host and the instances that it asked for. */
function relationToNode(reads: Reads, node: NodePrincipal, target: Target): Subject {
  if (target.kind === "entry") {
    const entry = reads.findEntry(target.id);
    return entry?.kind === "agent" && isForNode(entry.document, node.name) ? "descendant" : "other";
  }
  if (target.kind !== "instance") return "other";
  if (target.id === node.instanceId) return "self";
  return reads.findInstance(target.id)?.nodeInstanceId === node.instanceId ? "descendant" : "other";
}

function relationToOwner(reads: Reads, ownerId: string, target: Target): Subject {
  if (target.kind === "approval")
    return reads.findApproval(target.id)?.owner === ownerId ? "descendant" : "other";
  if (target.kind === "owner" || target.kind === "agents-of") return target.id === ownerId ? "self" : "other";
  if (target.kind === "entry") {
    const entry = reads.findEntry(target.id);
    return entry?.kind === "agent" && entry.document.owner === ownerId ? "descendant" : "other";
  }
  const found = target.kind === "agent" ? reads.findAgent(target.id) : reads.findInstance(target.id);
  return found?.ownerId === ownerId ? "descendant" : "other";
}
