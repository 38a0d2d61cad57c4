/**
 * Stop and narrow. The revocation takes effect first: as soon as it is committed it is pushed to every verifier,
 * while the ledger sequences its event beside it. A ledger that cannot record does not hold up a stop; the event
 * stays in the outbox and is logged at the next start, and the answer says so.
 */

import { instanceIdOf, parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatBundleName } from "@trustwarden/core/agentscope/policy-bundle.ts";
import type { Subject } from "@trustwarden/core/agentscope/policy-input.ts";
import type {
  LeasesAnswer,
  NarrowingAnswer,
  NarrowingRequest,
  RevocationAnswer,
  revocationRequest,
} from "@trustwarden/core/api/revocation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import type { Principal } from "@trustwarden/core/principal.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { z } from "zod";
import type { Committed, FeedTarget } from "../../store/ports.ts";
import { contextOf } from "../command-context.ts";
import { ownerLimitOf, relationOf } from "../relation.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

type Revocation = z.output<typeof revocationRequest>;
/** How a change of the state spread to the leases and the ledger. */
export type Stopped = Omit<RevocationAnswer, "instances">;

/** Revokes; returns when every live lease has acknowledged the epoch or run out. @throws TrustWardenError `not_found`. */
export async function revoke(services: Services, visit: Visit<Revocation>): Promise<RevocationAnswer> {
  const startedMs = services.clock.monoMs();
  const { reason } = visit.body;
  const target = namedPolicy(services, normalTarget(visit.body.target));
  const context = contextOf(services, visit);
  const ownerId = ownerLimitOf(visit.caller.principal) ?? null;
  const committed = await services.commands.revoke({ context, target, ownerId, reason });
  const stopped = await spread(services, { committed, targets: committed.value.targets, startedMs });
  return { ...stopped, instances: committed.value.instances };
}

/** Replaces an instance's scope by a part of it. @throws TrustWardenError `not_found`, `scope_not_subset`. */
export async function narrow(services: Services, visit: Visit<NarrowingRequest>): Promise<NarrowingAnswer> {
  const startedMs = services.clock.monoMs();
  const instanceId = visit.body.instance_id;
  const scope = parseScope(visit.body.scope);
  const context = contextOf(services, visit);
  const committed = await services.commands.narrow({ context, instanceId, scope });
  const targets = [{ kind: "narrowed", id: instanceId }] as const;
  const stopped = await spread(services, { committed, targets, startedMs });
  return { ...stopped, instances: 0, scope: [...committed.value.scope] };
}

/**
 * What the policies are asked about a stop. What stops more than one identity is asked as the stop of a whole owner,
 * which it is for those whom it may be allowed to.
 */
export function stopAction({ kind }: Revocation["target"]): string {
  return kind === "instance" || kind === "agent" ? `revoke:${kind}` : "revoke:owner";
}

/** Seen from the caller: an owner stops its own jobs only; a policy, a key and everything are an operator's to stop. */
export function stopSubject(
  reads: Services["reads"],
  principal: Principal,
  target: Revocation["target"],
): Subject {
  switch (target.kind) {
    case "instance":
    case "agent":
    case "owner": {
      const { id } = normalTarget(target);
      return relationOf(reads, principal, { kind: target.kind, id });
    }
    case "job":
      // Kept for that owner only: a name is stopped at nobody else's agents.
      return ownerLimitOf(principal) === undefined
        ? relationOf(reads, principal, { kind: "owner", id: "" })
        : "self";
    case "key":
    case "policy":
    case "everything":
      return relationOf(reads, principal, { kind: "owner", id: "" });
  }
}

/** A full SPIFFE ID is taken for the instance that it names. @throws TrustWardenError `not_found`. */
function normalTarget<Target extends Revocation["target"]>(target: Target): Target {
  if (target.kind !== "instance" || !target.id.startsWith("spiffe://")) return target;
  const id = instanceIdOf(parseSpiffeId(target.id));
  if (id === undefined) throw new TrustWardenError("not_found");
  return { ...target, id };
}

/** The bundle in force is taken for the policy in it: decisions know that one, and it is refused in another bundle too. */
function namedPolicy({ reads, policy }: Services, target: Revocation["target"]): Revocation["target"] {
  const stored = target.kind === "policy" ? reads.findPolicy() : undefined;
  if (stored === undefined || stored.sha256 !== target.id) return target;
  const inForce = policy.references.find(({ name }) => name === formatBundleName(stored));
  return { ...target, id: inForce?.bundleSha256 ?? target.id };
}

/** Pushes a committed change, records it and raises the mark outside; returns when every lease has it or ran out. */
export async function spread(
  services: Services,
  options: {
    readonly committed: Committed<unknown>;
    readonly targets: readonly Pick<FeedTarget, "kind" | "id">[];
    readonly startedMs: number;
  },
): Promise<Stopped> {
  const { committed, targets, startedMs } = options;
  const [published, isRecorded] = await Promise.all([
    services.feed.publish(targets, committed.epoch),
    recordOrKeep(services, committed),
    raiseEpoch(services, committed.epoch),
  ]);
  return {
    epoch: committed.epoch,
    acked: published.acked,
    expired: published.expired,
    behind_relays: { ...published.behind },
    elapsed_ms: services.clock.monoMs() - startedMs,
    stopped_by: formatTime(services.clock.nowMs()),
    event_id: committed.eventId,
    recorded: isRecorded,
  };
}

/**
 * Tells every lease of a change that stops nobody, without waiting until they know, and records it.
 *
 * @throws TrustWardenError `ledger_unavailable`; the change stands and is recorded at the next start.
 */
export async function announce(
  services: Services,
  committed: Committed<unknown>,
  targets: readonly Pick<FeedTarget, "kind" | "id">[],
): Promise<void> {
  const { feed, ledger, log } = services;
  const { epoch } = committed;
  // Handed to the feed, which waits for its publications when it closes.
  feed.publish(targets, epoch).catch(() => log.error({ epoch }, "a change was not announced"));
  await Promise.all([ledger.settle(committed), raiseEpoch(services, epoch)]);
}

/** Who holds a lease now, and how far each change is that is still on its way. */
export async function readLeases({ feed }: Services): Promise<LeasesAnswer> {
  const changes = feed
    .progress()
    .map(({ leftBehind, ...change }) => ({ ...change, left_behind_relays: leftBehind }));
  return { epoch: feed.epoch, leases: feed.leases, behind_relays: feed.leasesBehind, changes };
}

async function raiseEpoch({ raiseEpoch: raise, log }: Services, epoch: number): Promise<void> {
  try {
    await raise(epoch);
  } catch {
    // Safe to go on: the mark only serves to notice a restored backup, and the next revocation raises it too.
    log.error({ epoch }, "the epoch could not be kept outside the data directory");
  }
}

async function recordOrKeep(services: Services, committed: Committed<unknown>): Promise<boolean> {
  try {
    await services.ledger.settle(committed);
    return true;
  } catch (error) {
    // Safe to go on: the event is committed in the outbox, and a stop must not wait for the ledger.
    if (!(error instanceof TrustWardenError) || error.code !== "ledger_unavailable") throw error;
    services.log.error({ event_id: committed.eventId }, "revocation is in force and will be recorded late");
    return false;
  }
}
