/**
 * What happens now, as server-sent events: two frames a second whatever the load, so that neither this thread nor the
 * page that watches has more to do at a thousand decisions a second than at one.
 *
 * A stream ends after a minute and the browser asks again: each time it walks the path anew, so that whoever may not
 * watch any more does not, and the ledger says who watched when.
 */
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { type LiveFrame, type LiveQuery, liveFrame } from "@trustwarden/core/api/tree.ts";
import { formatPrincipal, type Principal } from "@trustwarden/core/principal.ts";
import { requireSession } from "../../console/session-proof.ts";
import type { RecentDecision } from "../../ledger/recent-decisions.ts";
import { requireCurrent } from "../../shared/sharing.ts";
import { requireLiveOwner } from "../peer.ts";
import { ownerLimitOf } from "../relation.ts";
import type { RawAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";

const FRAME_MS = 500;
/** As many as a person sees at once. */
const MAX_SHOWN = 20;
/** Asks the browser to come back quickly when the minute is over. */
const RETRY_MS = 500;

/** The stream of one watcher: an owner's own decisions, everybody's for an operator. @throws TrustWardenError `overloaded`. */
export async function watchLive(
  services: Services,
  { caller, query }: Visit<unknown, LiveQuery>,
): Promise<RawAnswer> {
  const { principal } = caller;
  const leave = services.intake.streams.enter(formatPrincipal(principal));
  const content = Readable.from(frames(services, { count: query.frames, principal })).once("close", leave);
  return {
    isRaw: true,
    contentType: "text/event-stream; charset=utf-8",
    cacheControl: "no-store",
    content,
  };
}

async function* frames(
  services: Services,
  { count, principal }: { readonly count: number; readonly principal: Principal },
): AsyncGenerator<string> {
  const { clock, ledger } = services;
  let seen = ledger.decided.total;
  let lastMs = clock.monoMs();
  yield `retry: ${RETRY_MS}\n\n`;
  for (let frame = 0; frame < count; frame += 1) {
    if (frame > 0) await pause(FRAME_MS);
    // Cut off from the others, what ended there would be shown to here.
    await requireCurrent(services);
    const ownerId = ownerLimitOf(requireWatcher(services, principal)) ?? null;
    const decisions = ledger.decided.since(seen);
    const nowMs = clock.monoMs();
    seen = ledger.decided.total;
    const mine = decisions.filter((decision) => ownerId === null || decision.ownerId === ownerId);
    const shown = await frameOf(services, { mine, ownerId, spanMs: Math.round(nowMs - lastMs) });
    lastMs = nowMs;
    const ratio = frame === 0 && ownerId === null ? { ratio: services.ratioHistory.points } : {};
    yield `data: ${JSON.stringify(liveFrame.parse({ ...shown, ...ratio }))}\n\n`;
  }
}

/** Whoever logged out, was stopped, or may see less now, is asked about before each piece. @throws TrustWardenError. */
export function requireWatcher(services: Services, principal: Principal): Principal {
  if (principal.kind === "person") return requireSession(services, principal.sessionSha256).principal;
  if (principal.kind === "owner") requireLiveOwner(services, principal.ownerId);
  return principal;
}

async function frameOf(
  services: Services,
  {
    mine,
    ownerId,
    spanMs,
  }: { readonly mine: readonly RecentDecision[]; readonly ownerId: string | null; readonly spanMs: number },
): Promise<LiveFrame> {
  const { clock, reads, feed, ledger } = services;
  const allowed = mine.filter(({ isAllowed }) => isAllowed).length;
  const counts = ownerId === null ? reads.counts() : null;
  return {
    at_ms: Math.round(clock.nowMs()),
    span_ms: spanMs,
    allowed,
    denied: mine.length - allowed,
    recent: mine.slice(-MAX_SHOWN).reverse().map(formatDecision),
    counts: counts && {
      owners: counts.owners,
      agents: counts.agents,
      live_instances: counts.liveInstances,
    },
    epoch: reads.epoch(),
    verifiers: feed.leases,
    ledger: { size: ledger.log.size, witnessed_size: ledger.witnessedSize },
  };
}

function formatDecision(decision: RecentDecision): LiveFrame["recent"][number] {
  const { eventId, agent, agentId, action, resource, isAllowed, reasons, atMs } = decision;
  return {
    event_id: eventId,
    agent,
    agent_id: agentId,
    action,
    resource,
    allow: isAllowed,
    reasons: [...reasons],
    at_ms: Math.round(atMs),
  };
}
