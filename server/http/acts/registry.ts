/** Owners, verifier tickets, and who there is. */
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import type { OwnerAnswer, TicketAnswer } from "@trustwarden/core/api/identity.ts";
import type { AgentList, AgentView, OwnerList } from "@trustwarden/core/api/ledger.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isSubset, parseScope } from "@trustwarden/core/scope.ts";
import type { AgentState, InstanceState } from "../../store/ports.ts";
import type { Caller } from "../caller.ts";
import { contextOf } from "../command-context.ts";
import { ownerLimitOf, reachesOwner } from "../relation.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { type PageQuery, pageOf } from "./page.ts";

/**
 * A page ends after the agent that reaches this many instances. Pages are made on the thread that keeps the leases
 * alive: one of a hundred thousand instances would hold up every stop for half a minute.
 */
const MAX_LISTED_INSTANCES = 200;

interface AgentQuery {
  readonly owner?: string | undefined;
  readonly name?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** @throws TrustWardenError `owner_exists`, `public_key_refused`, `key_reused`. */
export async function createOwner(
  services: Services,
  visit: Visit<{ readonly name: string; readonly spki: string }>,
): Promise<OwnerAnswer> {
  const spki = encodeSpki(parseP256PublicKey(parseBase64url(visit.body.spki)));
  const context = contextOf(services, visit);
  const committed = await services.commands.createOwner({ context, name: visit.body.name, spki });
  await services.ledger.settle(committed);
  return { owner_id: committed.value.ownerId, name: committed.value.name };
}

export async function listOwners(
  { reads }: Services,
  { query }: Visit<unknown, PageQuery>,
): Promise<OwnerList> {
  const { items, last } = pageOf(query, (scan) => reads.listOwners(scan));
  const owners = items.map(({ ownerId, name, isRevoked, agents }) => ({
    owner_id: ownerId,
    name,
    status: isRevoked ? ("revoked" as const) : ("live" as const),
    agents,
  }));
  return { owners, next_cursor: last?.name ?? null };
}

/** A `TRUSTWARDEN_TICKET` value for one service. */
export async function createVerifierTicket(
  services: Services,
  visit: Visit<{ readonly name: string; readonly ttl_seconds: number; readonly relay: boolean }>,
): Promise<TicketAnswer> {
  const context = contextOf(services, visit);
  const { name, ttl_seconds: ttlSeconds, relay: isRelay } = visit.body;
  const committed = await services.commands.createVerifierTicket({ context, name, ttlSeconds, isRelay });
  await services.ledger.settle(committed);
  const { authoritiesSha256 } = services.authority();
  const { server } = services.urls();
  return { ticket: formatTicketValue({ authoritiesSha256, server, ticket: committed.value.ticket }) };
}

/** An owner sees its own agents, an operator all. @throws TrustWardenError `clock_rolled_back`. */
export async function listAgents(services: Services, visit: Visit<unknown, AgentQuery>): Promise<AgentList> {
  const { owner, name, cursor, limit } = visit.query;
  const ownerId = ownOnly(services, visit.caller, owner);
  const now = services.clock.trustedSeconds();
  const agents: AgentView[] = [];
  let after = cursor;
  let listed = 0;
  for (;;) {
    const [agent] = services.reads.listAgents({
      ...(ownerId === undefined ? {} : { ownerId }),
      ...(name === undefined ? {} : { name }),
      ...(after === undefined ? {} : { after }),
      limit: 1,
    });
    if (agent === undefined) return { agents, next_cursor: null };
    if (agents.length === limit || listed >= MAX_LISTED_INSTANCES) {
      return { agents, next_cursor: after ?? null };
    }
    agents.push(formatAgent(services, agent, now));
    after = agent.agentId;
    listed += agent.instances.length;
  }
}

/** @throws TrustWardenError `not_found`, also for another owner's agent. */
export async function showAgent(
  services: Services,
  visit: Visit<unknown, unknown, { readonly id: string }>,
): Promise<AgentView> {
  const agent = services.reads.findAgent(visit.params.id);
  if (agent === undefined || ownOnly(services, visit.caller, agent.ownerId) !== agent.ownerId) {
    throw new TrustWardenError("not_found");
  }
  return formatAgent(services, agent, services.clock.trustedSeconds());
}

/** The owner whose agents may be shown: whichever was asked for, unless the caller is an owner; that one, or one of its organization. */
function ownOnly(
  { reads }: Pick<Services, "reads">,
  { principal }: Caller,
  asked: string | undefined,
): string | undefined {
  const own = ownerLimitOf(principal);
  if (own === undefined || asked === undefined) return own ?? asked;
  return reachesOwner(reads, principal, asked) ? asked : own;
}

function formatAgent({ reads }: Services, agent: AgentState, now: number): AgentView {
  const instances = agent.instances.map((instance) =>
    // A root is its own chain, and most instances are roots.
    formatInstance(
      instance.parentInstanceId === null ? [instance] : reads.chainOf(instance.instanceId),
      instance,
      now,
    ),
  );
  return {
    agent_id: agent.agentId,
    path: agent.path,
    name: agent.name,
    owner_id: agent.ownerId,
    parent_agent_id: agent.parentAgentId,
    status: agent.isRevoked
      ? "revoked"
      : instances.some(({ status }) => status === "live")
        ? "live"
        : "expired",
    instances,
  };
}

function formatInstance(
  chain: readonly InstanceState[],
  instance: InstanceState,
  now: number,
): AgentView["instances"][number] {
  const ancestors = chain.slice(0, -1);
  const isCoveredByAll = (atom: string) =>
    ancestors.every(({ scope }) => isSubset({ parent: scope, child: parseScope([atom]) }));
  return {
    instance_id: instance.instanceId,
    spiffe_id: instance.spiffeId,
    parent_instance_id: instance.parentInstanceId,
    scope: [...instance.scope],
    effective_scope: instance.scope.filter(isCoveredByAll),
    status: statusOf(chain, now),
    custody: instance.custody,
    attested: {
      type: instance.attested.type,
      strength: instance.attested.strength,
      selectors: [...instance.attested.selectors],
    },
    composition_sha256: instance.attested.compositionSha256,
    entry_id: instance.entryId,
    node_instance_id: instance.nodeInstanceId,
    created_at: instance.createdAt,
    expires_at: instance.expiresAt,
  };
}

/** An instance is as dead as any of its ancestors. */
function statusOf(chain: readonly InstanceState[], now: number): "live" | "revoked" | "expired" {
  if (chain.some(({ isRevoked }) => isRevoked)) return "revoked";
  return chain.some(({ expiresAt }) => now >= expiresAt) ? "expired" : "live";
}
