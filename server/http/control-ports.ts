/**
 * The path's ports for the control plane: what `guard` calls around every guarded route but the decision itself.
 *
 * Each mutating visit leaves exactly one event: the command's own, the signed outcome, or a `refuse`. An agent's
 * intent is logged directly before its event.
 */
import { classOf, parseActionName } from "@trustwarden/core/action.ts";
import { decide, NO_CONTEXT } from "@trustwarden/core/agentscope/decide.ts";
import { type Decision, denyFor } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { GuardPorts } from "@trustwarden/core/guard.ts";
import { formatChain, formatPrincipal } from "@trustwarden/core/principal.ts";
import { isPolicyStopped } from "../approvals/stopped-policy.ts";
import { requireConfirmed, whyConfirmed } from "../console/confirm.ts";
import { requireSession } from "../console/session-proof.ts";
import type { Appended } from "../ledger/ledger.ts";
import type { ControlDraft } from "../store/ports.ts";
import { type Arrival, pathOfTarget } from "./arrival.ts";
import { authenticateCaller, type Evidence } from "./authenticate.ts";
import { type Caller, isInstance } from "./caller.ts";
import { admitForeignPeer } from "./foreign.ts";
import { isHeldBack } from "./held.ts";
import { formatControlResource } from "./intent-credentials.ts";
import { requireLiveChain, requireLiveOwner } from "./peer.ts";
import { flowOfCaller } from "./request-flow.ts";
import { formatRoute, type GuardedRoute, type Question } from "./route.ts";
import type { Services } from "./services.ts";

/** Where an instance renews its own SVID. */
const OWN_RENEWAL = "/v1/svids/renew";

const HELD = "restore_held";

/** Where the decision went: an entry of its own, or nothing yet because the act's own event will say it. */
export type ControlReceipt = Appended | null;

/** What a proven caller asked for, and why it did not get it. */
interface OwnRefusal {
  readonly arrival: Arrival;
  readonly route: GuardedRoute;
  readonly caller: Caller;
  /** A code. */
  readonly reason: string;
}

/** The ports for one guarded route. */
export function createControlPorts(
  services: Services,
  route: GuardedRoute,
): GuardPorts<Arrival, Caller, ControlReceipt> {
  return {
    authenticate: (arrival) => authenticate(services, { arrival, route }),
    decide: async (arrival, caller) => decideControl(services, route, questionOf(arrival, caller)),
    record: (arrival, caller, decision) => record(services, { arrival, route, caller, decision }),
    requireLive: (caller) => {
      // What an agent that was stopped meanwhile may say of its own act, the act itself asks.
      if (route.recording !== "outcome" || caller.principal.kind !== "agent")
        requireStillLive(services, caller);
    },
    recordOutcome: async (permit, outcome) => {
      if (outcome.status === "success") return;
      await recordFailure(services, {
        arrival: permit.arrival,
        route,
        caller: permit.principal,
        reason: outcome.reason ?? "internal",
      });
    },
  };
}

/** What is asked about an arrival of a caller. */
export function questionOf(arrival: Arrival, caller: Caller): Question {
  const { body, query, params } = arrival;
  return { arrival, caller, body, query, params };
}

/** Whether a failed visit must leave an event: it could have changed something. */
function isMutating({ method, answer }: GuardedRoute): boolean {
  return method !== "GET" || answer === "upgrade";
}

async function authenticate(
  services: Services,
  visit: { readonly arrival: Arrival; readonly route: GuardedRoute },
): Promise<Caller> {
  const evidence: Evidence = {};
  try {
    await admitForeignPeer(services, visit.arrival);
    const caller = await authenticateCaller(services, visit, evidence);
    takeOwnPlace(services, visit.arrival, caller);
    return caller;
  } catch (error) {
    if (error instanceof TrustWardenError) await recordRefusal(services, { ...visit, evidence, error });
    throw error;
  }
}

/** From now on the request counts as its caller's. @throws TrustWardenError `overloaded`. */
function takeOwnPlace({ intake }: Services, { socket, place }: Arrival, caller: Caller): void {
  const flow = flowOfCaller(caller);
  if (flow === undefined) return;
  if (isInstance(caller.principal)) intake.requests.know(socket, flow);
  place.moveTo(flow);
}

/** Evidence of a caller who could not prove itself; also used for the decision route. */
export async function recordRefusal(
  services: Services,
  refused: {
    readonly arrival: Arrival;
    readonly route: GuardedRoute;
    readonly evidence: Evidence;
    readonly error: TrustWardenError;
  },
): Promise<void> {
  const { arrival, route, evidence, error } = refused;
  if (isTurnedAway(error.code)) return countTurnedAway(services, error, { ...evidence, peer: arrival.peer });
  // What does not even parse is no attempt by anybody in particular; what fails inside is not the caller's doing.
  const isRefusal = error.status !== 400 && error.status !== 413 && error.status < 500;
  if (!isMutating(route) || !isRefusal) return;
  await services.refusals.record({
    principal: evidence.spiffeId ?? "unauthenticated",
    peer: arrival.peer,
    code: error.code,
    details: { route: formatRoute(route) },
  });
}

/** Codes of callers that asked for too much: counted, since writing each down would be more work for who is busy. */
export function isTurnedAway(code: string): boolean {
  return code === "rate_limited" || code === "overloaded";
}

/** Counts a request that was turned away for the agent that it was of, or for who brought it. */
export function countTurnedAway(
  { refusals }: Pick<Services, "refusals">,
  { code, details }: TrustWardenError,
  { spiffeId = "unauthenticated", peer }: Evidence & { readonly peer: string },
): void {
  const { principal } = details;
  refusals.count({ principal: typeof principal === "string" ? principal : spiffeId, peer, code });
}

/** By the built-in policy. No agent gets or keeps an identity or a token by a policy that was stopped. */
function decideControl(services: Services, route: GuardedRoute, question: Question): Decision {
  const decision = decideByPolicy(services, route, question);
  if (!isIssuedToAgent(route, question) || !isPolicyStopped(services)) return decision;
  return denyFor(decision, ["policy_stopped"]);
}

/** Whether an agent gets or keeps an identity by this: by itself, by its document or evidence, or by the node of its host. */
function isIssuedToAgent(route: GuardedRoute, question: Question): boolean {
  const { principal } = question.caller;
  const action = route.action(question);
  if (action === "issue:node" || !/^(?:issue|renew):/.test(action)) return false;
  switch (principal.kind) {
    case "agent":
      return true;
    case "enrollee":
      return principal.via === "ticket" || principal.via === "grant" || principal.via === "attestation";
    case "node":
      // Its own SVID is renewed by another row: hosts and services must go on until another policy is in force.
      return route.path !== OWN_RENEWAL;
    case "owner":
    case "person":
    case "operator":
    case "verifier":
      return false;
  }
}

function decideByPolicy(services: Services, route: GuardedRoute, question: Question): Decision {
  const { principal } = question.caller;
  const action = parseActionName(route.action(question));
  return decide(
    {
      principal,
      action,
      resource: formatControlResource(services.trustDomain, question.arrival.target),
      class: classOf(action, services.policy.classes),
      plane: "control",
      chainScopes: principal.kind === "agent" ? principal.chain.map(({ scope }) => scope) : [],
      // The server is where revocations are decided: its own view is never behind.
      view: { fresh: true, epoch: services.reads.epoch() },
      enforcement: "service",
      context: NO_CONTEXT,
      subject: route.subject(services, question),
    },
    services.policy.engine,
  );
}

async function record(
  services: Services,
  visit: {
    readonly arrival: Arrival;
    readonly route: GuardedRoute;
    readonly caller: Caller;
    readonly decision: Decision;
  },
): Promise<ControlReceipt> {
  const { arrival, route, caller, decision } = visit;
  const isAllowed = decision.effect === "allow";
  if (isAllowed && isHeldBack(services, route, caller)) await refuseHeld(services, visit);
  const question = questionOf(arrival, caller);
  if (isAllowed) await confirm(services, route, question);
  if (!isAllowed && !mayRecordRefusal(services, { arrival, route, caller, reason: "denied" })) return null;
  if (!isAllowed || route.recording === "single") {
    return append(
      services,
      { arrival, caller },
      {
        kind: isAllowed ? route.kind : "refuse",
        allow: isAllowed,
        reasons: decision.reasons,
        subject: pathOfTarget(arrival.target),
        chain: chainOf(caller),
        // One row may be asked for more than one action, such as evidence with payloads.
        details: {
          ...{ route: formatRoute(route), action: route.action(question) },
          ...{ class: decision.class, policy: decision.policy.name },
        },
      },
    );
  }
  // The act writes its own event, so nothing may begin that could not be recorded; except stopping.
  if (!route.isStopLane) services.ledger.requireAvailable();
  return null;
}

/** A second admin's word is used up before anything is recorded as allowed; without it the refusal is, also of a read. */
async function confirm(services: Services, route: GuardedRoute, question: Question): Promise<void> {
  const why = whyConfirmed(services, route, question);
  if (why === null) return;
  try {
    await requireConfirmed(services, question, why);
  } catch (error) {
    const { arrival, caller } = question;
    if (error instanceof TrustWardenError && error.status < 500) {
      await recordOwnRefusal(services, { arrival, route, caller, reason: error.code });
    }
    throw error;
  }
}

/** Whoever retries until the server works is counted beyond an allowance. @throws TrustWardenError `restore_held`, always. */
async function refuseHeld(
  services: Services,
  { arrival, route, caller }: Pick<OwnRefusal, "arrival" | "route" | "caller">,
): Promise<never> {
  const principal = formatPrincipal(caller.principal);
  const refused = refusedOf({ arrival, route, caller, reason: HELD });
  await services.refusals.record({ principal, peer: arrival.peer, code: HELD, ...refused });
  throw new TrustWardenError(HELD);
}

async function recordFailure(services: Services, failed: OwnRefusal): Promise<void> {
  const { arrival, route, caller, reason } = failed;
  // A log that could not take the event will not take the news of it either; what committed is in the outbox.
  if (!isMutating(route) || route.recording === "single" || reason === "ledger_unavailable") return;
  if (isTurnedAway(reason)) {
    services.refusals.count({
      principal: formatPrincipal(caller.principal),
      peer: arrival.peer,
      code: reason,
    });
    return;
  }
  const refused = refusedOf(failed);
  if (caller.principal.kind === "enrollee") {
    // A used ticket stands in the ledger and proves nobody: whoever reads it could otherwise fill the disk with it.
    const principal = formatPrincipal(caller.principal);
    const { details } = refused;
    await services.refusals.record({ principal, peer: arrival.peer, code: reason, details });
    return;
  }
  if (route.recording === "outcome") {
    // No rate stands before reports, and one that belongs to no decision may come any number of times.
    const principal = formatPrincipal(caller.principal);
    await services.refusals.record({ principal, peer: arrival.peer, code: reason, ...refused });
    return;
  }
  await recordOwnRefusal(services, failed);
}

/** The event of what a proven caller was refused, as long as it may leave one. */
async function recordOwnRefusal(services: Services, refused: OwnRefusal): Promise<void> {
  if (!mayRecordRefusal(services, refused)) return;
  const draft = { kind: "refuse", allow: false, reasons: [refused.reason], ...refusedOf(refused) } as const;
  await append(services, refused, draft);
}

function refusedOf({ arrival, route, caller }: OwnRefusal) {
  return {
    subject: pathOfTarget(arrival.target),
    chain: chainOf(caller),
    details: { route: formatRoute(route) },
  };
}

/**
 * Whether a refusal leaves an event of its own. Nothing bounds how often somebody asks for a stop, nor what owners and people
 * ask; what they are refused beyond an allowance is counted, or a flood of refusals would fill the ledger.
 */
function mayRecordRefusal({ refusals }: Services, refused: OwnRefusal): boolean {
  const { route, arrival, reason } = refused;
  const { principal } = refused.caller;
  if (principal.kind === "operator") return true;
  const isBounded = principal.kind === "agent" && !route.isStopLane && arrival.listener !== "stop";
  if (isBounded) return true;
  return refusals.mayRecord({ principal: formatPrincipal(principal), peer: arrival.peer, code: reason });
}

/** An event of what a proven caller asked for; durable on return. @throws TrustWardenError `ledger_unavailable`. */
export function append(
  services: Services,
  { arrival, caller }: { readonly arrival: Arrival; readonly caller: Caller },
  draft: ControlDraft,
): Promise<Appended> {
  return services.ledger.recordControl(draft, {
    nowMs: services.clock.nowMs(),
    principal: formatPrincipal(caller.principal),
    peer: arrival.peer,
    intent: caller.intent,
    epoch: services.reads.epoch(),
  });
}

function chainOf({ principal }: Caller): readonly string[] {
  switch (principal.kind) {
    case "agent":
      return formatChain(principal);
    case "owner":
      return [`owner:${principal.ownerId}`];
    case "person":
      return principal.ownerId === null ? [] : [`owner:${principal.ownerId}`];
    case "verifier":
    case "node":
    case "enrollee":
    case "operator":
      return [];
  }
}

/**
 * Asks the store again, immediately before acting or after a wait: a revocation may have come between.
 *
 * @throws TrustWardenError `session_invalid`, and the codes of a dead instance.
 */
export function requireStillLive(services: Services, caller: Caller): void {
  const { principal } = caller;
  // A session that is about to be opened is not there yet; the command that opens it asks for its person.
  const isOpening = "opening" in caller && caller.opening !== undefined;
  if (principal.kind === "person" && !isOpening) requireSession(services, principal.sessionSha256);
  if (principal.kind === "owner") requireLiveOwner(services, principal.ownerId);
  if (!isInstance(principal)) return;
  requireLiveChain(services.reads, principal.instanceId, services.clock.trustedSeconds());
}
