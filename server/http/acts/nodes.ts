/**
 * Nodes: how hosts join, and what a node asks for the workloads of its host.
 *
 * A node's word counts for what a host's kernel can tell and for nothing else: facts that somebody else signs are shown
 * to the server itself.
 */
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import { formatJoinTokenValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { parseUnverifiedEnrolmentDigest, verifyPossession } from "@trustwarden/core/agentid/possession.ts";
import { formatSelectors, parseSelectors, type SelectorType } from "@trustwarden/core/agentid/selector.ts";
import type { IdentityAnswer } from "@trustwarden/core/api/identity.ts";
import type {
  JoinTokenAnswer,
  NodeEndingRequest,
  NodeEntriesAnswer,
  NodeIdentityAnswer,
  NodeInstanceRequest,
  NodeJwtAnswer,
  NodeJwtRequest,
  NodeRenewalRequest,
} from "@trustwarden/core/api/registration.ts";
import type { RevocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Committed } from "../../store/ports.ts";
import type { EntryIdentity, ProvenKey } from "../../store/registration-ports.ts";
import { enrolmentOf, nodeOf } from "../caller.ts";
import { verifyClassKey } from "../class-key.ts";
import { contextOf } from "../command-context.ts";
import { digestOrNull, selectorTextsOf } from "../composition-request.ts";
import type { HeadedAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { spendNonce } from "../used-once.ts";
import { settleIdentity, settleWithoutPromise, withNextNonce } from "./identity.ts";
import { spread } from "./revocation.ts";

/** What a host's kernel and launcher can tell; every other type has a signer of its own. */
const VOUCHED_TYPES: ReadonlySet<SelectorType> = new Set(["unix", "systemd", "container", "launcher"]);
/** One page of a node's entries; each carries its envelope. */
const MAX_PAGE = 200;

/** A single-use token for one host. */
export async function createJoinToken(
  services: Services,
  visit: Visit<{ readonly name: string; readonly ttl_seconds: number }>,
): Promise<JoinTokenAnswer> {
  const context = contextOf(services, visit);
  const { name, ttl_seconds: ttlSeconds } = visit.body;
  const committed = await services.commands.createJoinToken({ context, name, ttlSeconds });
  await services.ledger.settle(committed);
  const { token, expiresAt } = committed.value;
  const { authoritiesSha256 } = services.authority();
  const { server } = services.urls();
  return { token: formatJoinTokenValue({ authoritiesSha256, server, token }), expires_at: expiresAt };
}

/** A node's own identity. @throws TrustWardenError the codes of `admitNode`. */
export async function joinNode(services: Services, visit: Visit): Promise<IdentityAnswer> {
  const context = contextOf(services, visit);
  const command = { context, ...enrolmentOf(visit.caller, "node") };
  return settleIdentity(services, await services.commands.admitNode(command));
}

/** An instance for a workload with evidence of its own. @throws TrustWardenError the codes of `issueByEntry`. */
export async function issueToWorkload(services: Services, visit: Visit): Promise<IdentityAnswer> {
  const context = contextOf(services, visit);
  const command = { context, ...enrolmentOf(visit.caller, "workload") };
  return settleIdentity(services, await services.commands.issueByEntry(command));
}

/** The entries that the calling node may ask for. @throws TrustWardenError `clock_rolled_back`. */
export async function listNodeEntries(
  services: Services,
  { caller, query }: Visit<unknown, { readonly cursor?: string | undefined }>,
): Promise<NodeEntriesAnswer> {
  // Read before the list: what changes in between is announced by a later epoch, and fetched again.
  const epoch = services.reads.epoch();
  const now = services.clock.trustedSeconds();
  const { name: node } = nodeOf(caller);
  const found = services.reads.entriesOfNode({ node, after: query.cursor ?? "", now, limit: MAX_PAGE });
  const entries = found.map(({ entryId, envelope, document }) => ({
    entry_id: entryId,
    envelope,
    selectors: [...document.selectors],
    path: document.path,
    name: document.name,
    hint: document.hint,
    ttl_seconds: document.ttl_seconds,
  }));
  return { epoch, entries, next_cursor: found.length < MAX_PAGE ? null : (found.at(-1)?.entryId ?? null) };
}

/** An instance for a workload of the calling node. @throws TrustWardenError the codes of `issueByEntry`. */
export async function issueForNode(
  services: Services,
  visit: Visit<NodeInstanceRequest>,
): Promise<HeadedAnswer> {
  const { body } = visit;
  const entry = services.reads.findEntry(body.entry_id);
  if (entry?.kind !== "agent") throw new TrustWardenError("entry_unknown");
  const keys = await verifyKeys(services, visit, digestOfEnrolment(entry.envelope));
  const { instanceId: nodeInstanceId, svidSha256: nodeSvidSha256 } = nodeOf(visit.caller);
  const { strength, ...facts } = body.facts;
  const committed = await services.commands.issueByEntry({
    context: contextOf(services, visit),
    entryId: entry.entryId,
    asker: {
      kind: "node",
      nodeInstanceId,
      nodeSvidSha256,
      selectors: vouchedSelectors(body.selectors),
      strength,
      facts,
    },
    compositionSha256: digestOrNull(body.composition),
    compositionSelectors: selectorTextsOf(body.composition),
    custody: body.custody,
    ...keys,
  });
  return settleEntryIdentity(services, committed);
}

/** Further SVIDs of an instance of the calling node. @throws TrustWardenError the codes of `renewByNode`. */
export async function renewForNode(
  services: Services,
  visit: Visit<NodeRenewalRequest>,
): Promise<HeadedAnswer | Omit<NodeIdentityAnswer, "acknowledgement">> {
  const { body } = visit;
  // The proof names the SVID that it follows; whether that is a live one of this instance, the transaction decides.
  const svidSha256 = parseUnverifiedEnrolmentDigest(body.possession);
  const keys = await verifyKeys(services, visit, svidSha256);
  const { instanceId: nodeInstanceId, svidSha256: nodeSvidSha256 } = nodeOf(visit.caller);
  const committed = await services.commands.renewByNode({
    context: contextOf(services, visit),
    nodeInstanceId,
    nodeSvidSha256,
    instanceId: body.instance_id,
    svidSha256,
    compositionSha256: digestOrNull(body.composition),
    ...keys,
  });
  // One of several brings neither a promise nor a nonce of its own: signing the one and making the other is more than all else here.
  if (visit.arrival.nonce === undefined) return settleEntryIdentity(services, committed);
  const { entryId, hint } = committed.value;
  return { ...(await settleWithoutPromise(services, committed)), hint, entry_id: entryId };
}

/** A JWT-SVID of an instance of the calling node, or of its class. */
export async function issueJwtForNode(
  services: Services,
  visit: Visit<NodeJwtRequest>,
): Promise<NodeJwtAnswer> {
  const { instance_id: instanceId, audiences, identity } = visit.body;
  const { instanceId: nodeInstanceId, svidSha256: nodeSvidSha256 } = nodeOf(visit.caller);
  const context = contextOf(services, visit);
  const node = { nodeInstanceId, nodeSvidSha256 };
  const [first = "", ...others] = new Set(audiences);
  const { statusLists } = services.lists;
  const command = { context, ...node, instanceId, identity, statusLists };
  const committed = await services.commands.issueJwtByNode({
    ...command,
    audiences: [first, ...others],
  });
  await services.ledger.settle(committed);
  const { svid, expiresAt, spiffeId } = committed.value;
  return { svid, expires_at: expiresAt, spiffe_id: spiffeId };
}

/** The end of an instance whose process is gone; in force everywhere when this returns. */
export async function endForNode(
  services: Services,
  visit: Visit<NodeEndingRequest>,
): Promise<RevocationAnswer> {
  const startedMs = services.clock.monoMs();
  const { instance_id: instanceId, reason } = visit.body;
  const { instanceId: nodeInstanceId, svidSha256: nodeSvidSha256 } = nodeOf(visit.caller);
  const context = contextOf(services, visit);
  const command = { context, nodeInstanceId, nodeSvidSha256, instanceId, reason };
  const committed = await services.commands.endByNode(command);
  const { targets, instances } = committed.value;
  return { ...(await spread(services, { committed, targets, startedMs })), instances };
}

/** @throws TrustWardenError `selector_malformed` or `selector_not_vouched`. */
function vouchedSelectors(texts: readonly string[]): readonly string[] {
  const selectors = parseSelectors(texts);
  const other = selectors.find(({ type }) => !VOUCHED_TYPES.has(type));
  if (other !== undefined) throw new TrustWardenError("selector_not_vouched", { type: other.type });
  return formatSelectors(selectors);
}

/**
 * The keys of a request, both proven for one document and under one nonce, which is spent.
 *
 * @throws TrustWardenError the `possession_` codes, `nonce_invalid`, `public_key_refused`.
 */
async function verifyKeys(
  services: Services,
  {
    body,
    arrival,
  }: Pick<Visit<Pick<NodeInstanceRequest, "spki" | "possession" | "class">>, "body" | "arrival">,
  enrolmentSha256: string,
): Promise<{ readonly key: ProvenKey; readonly classKey: ProvenKey | null }> {
  const key = { spki: parseBase64url(body.spki), possession: body.possession };
  const { nonce } = verifyPossession({ envelope: key.possession, spki: key.spki, enrolmentSha256 });
  const now = services.clock.trustedSeconds();
  await (arrival.nonce?.spend(services, nonce, now) ?? spendNonce(services, nonce, now));
  return { key, classKey: verifyClassKey(body.class, { enrolmentSha256, nonce }) };
}

async function settleEntryIdentity(
  services: Services,
  committed: Committed<EntryIdentity>,
): Promise<HeadedAnswer> {
  const { entryId, hint } = committed.value;
  const body: NodeIdentityAnswer = {
    ...(await settleIdentity(services, committed)),
    hint,
    entry_id: entryId,
  };
  return withNextNonce(services, body);
}
