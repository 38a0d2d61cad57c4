/** The tree of owners and agents, a page at a time. */
import type { TreeAnswer, TreeQuery, TreeRow } from "@trustwarden/core/api/tree.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { TreeCursor, TreeNode, TreePage, TreePlace } from "../../store/tree-ports.ts";
import type { Caller } from "../caller.ts";
import { ownerLimitOf, reachesOwner } from "../relation.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** @throws TrustWardenError `not_found` for a place that is another owner's, `request_malformed` for a foreign cursor. */
export async function readTree(services: Services, visit: Visit<unknown, TreeQuery>): Promise<TreeAnswer> {
  const { prefix, limit, cursor } = visit.query;
  const own = ownOf(visit.caller);
  const after = cursor === undefined ? null : parseCursor(cursor);
  const page = services.reads.readTree(placeOf(services, visit, own), {
    after: after?.place ?? null,
    limit,
  });
  // A search shows owners before agents, each in pages of their own.
  if (prefix !== undefined && own === null && !prefix.includes("/") && !(after?.isBehindOwners ?? false)) {
    return answerSearch(services, { owners: page, prefix, limit });
  }
  return answerOf(page.nodes, page.next === null ? null : formatCursor(page.next, prefix !== undefined));
}

/** The owners of a search, and agents behind the last of them. */
function answerSearch(
  { reads }: Services,
  { owners, prefix, limit }: { readonly owners: TreePage; readonly prefix: string; readonly limit: number },
): TreeAnswer {
  if (owners.next !== null) return answerOf(owners.nodes, formatCursor(owners.next, false));
  const left = limit - owners.nodes.length;
  if (left === 0) return answerOf(owners.nodes, formatCursor({ name: "", id: "" }, true));
  const agents = reads.readTree({ kind: "named", prefix, ownerId: null }, { after: null, limit: left });
  const next = agents.next === null ? null : formatCursor(agents.next, true);
  return answerOf([...owners.nodes, ...agents.nodes], next);
}

function placeOf(
  { reads }: Services,
  { query, caller }: Visit<unknown, TreeQuery>,
  own: string | null,
): TreePlace {
  const { under, prefix, cursor } = query;
  const isHidden = (ownerId: string) => own !== null && !reachesOwner(reads, caller.principal, ownerId);
  if (prefix !== undefined) return placeOfSearch(prefix, { own, cursor });
  if (under === undefined) {
    return own === null ? { kind: "owners", prefix: "" } : { kind: "below-owner", ownerId: own };
  }
  if (under.startsWith("own_")) {
    if (isHidden(under)) throw new TrustWardenError("not_found");
    return { kind: "below-owner", ownerId: under };
  }
  const agent = reads.findAgent(under);
  if (agent === undefined || isHidden(agent.ownerId)) throw new TrustWardenError("not_found");
  return { kind: "below-agent", ownerId: agent.ownerId, agentId: agent.agentId };
}

function placeOfSearch(
  prefix: string,
  { own, cursor }: { readonly own: string | null; readonly cursor: string | undefined },
): TreePlace {
  const slash = prefix.lastIndexOf("/");
  if (slash >= 0) {
    return { kind: "at", path: prefix.slice(0, slash), prefix: prefix.slice(slash + 1), ownerId: own };
  }
  const isBehindOwners = own !== null || (cursor !== undefined && parseCursor(cursor).isBehindOwners);
  return isBehindOwners ? { kind: "named", prefix, ownerId: own } : { kind: "owners", prefix };
}

/** The owner whose own agents are all that a caller sees; null for who sees everything. */
function ownOf({ principal }: Caller): string | null {
  return ownerLimitOf(principal) ?? null;
}

const AGENTS = "a";
const OWNERS = "o";

/** Names hold no slash, and ids hold none. */
function formatCursor({ name, id }: TreeCursor, isBehindOwners: boolean): string {
  return `${isBehindOwners ? AGENTS : OWNERS}/${id}/${name}`;
}

function parseCursor(text: string): { readonly isBehindOwners: boolean; readonly place: TreeCursor } {
  const [kind, id, ...name] = text.split("/");
  if ((kind !== AGENTS && kind !== OWNERS) || id === undefined || name.length === 0) {
    throw new TrustWardenError("request_malformed", { field: "cursor" });
  }
  return { isBehindOwners: kind === AGENTS, place: { id, name: name.join("/") } };
}

function answerOf(nodes: readonly TreeNode[], next: string | null): TreeAnswer {
  return { rows: nodes.map(formatNode), next_cursor: next };
}

function formatNode(node: TreeNode): TreeRow {
  const { kind, id, path, name, ownerId, isRevoked, isLive, below, isMore } = node;
  const status = isRevoked ? "revoked" : isLive ? "live" : "expired";
  return { kind, id, path, name, owner_id: ownerId, status, below, is_more: isMore };
}
