/**
 * The path's ports for the gateway: the one way on which a call reaches anything behind it.
 *
 * The gateway is the server, so nobody is asked over a network: the agent is proven by its socket and its intent, the
 * intent must say what the planner makes of these very bytes, the decision is made on the state of now. Classes A and B
 * are durable before the upstream hears of them; class C is written while the upstream works, and no answer begins
 * before it is durable.
 */
import { setImmediate as letRequestLeave } from "node:timers/promises";
import type { DecideInput } from "@trustwarden/core/agentscope/decide.ts";
import { type Parameters as CallParameters, MAX_APPROVAL_SECONDS } from "@trustwarden/core/approval.ts";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ApprovalReference } from "@trustwarden/core/event.ts";
import { planCall } from "@trustwarden/core/gateway/plan.ts";
import type { GuardPorts, Outcome, Permit } from "@trustwarden/core/guard.ts";
import { requireSameRequest, type VerifiedIntent, verifyIntent } from "@trustwarden/core/intent.ts";
import type { LoggedIntent } from "@trustwarden/core/presented-intent.ts";
import { type AgentPrincipal, formatPrincipal } from "@trustwarden/core/principal.ts";
import { decideAction, questionAbout, withStops } from "../approvals/decide-action.ts";
import type { AskedAction, NamedApproval } from "../approvals/ports.ts";
import { requestApproval, shownBody } from "../approvals/request-approval.ts";
import { countTurnedAway, isTurnedAway } from "../http/control-ports.ts";
import { requireSigner } from "../http/intent-credentials.ts";
import { agentOf, type LivePeer, requireLiveChain, requireLivePeer, verifyPeerSvid } from "../http/peer.ts";
import { flowOfAgent } from "../http/request-flow.ts";
import type { Services } from "../http/services.ts";
import { claimIntent } from "../http/used-once.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import { decideWithinBudget, releaseBudget, settleBudget } from "./call-budget.ts";
import { decideWithSecret } from "./call-secret.ts";
import type { LiveCall } from "./live-calls.ts";
import type { CallArrival, CallReceipt, GatewayCaller } from "./ports.ts";
import { authenticatePresented } from "./presented.ts";
import { scopesOf, watchedAgentOf } from "./presented-credentials.ts";
import { describeUpstream } from "./upstreams.ts";

const SALT_BYTES = 32;

/** What a call was decided on, so that the same question can be asked again while it runs. */
interface Begun {
  readonly labels: readonly string[];
  readonly approval: ApprovalReference | null;
}

interface DecidedCall {
  readonly arrival: CallArrival;
  readonly caller: GatewayCaller;
  readonly decision: Decision;
}

const begun = new WeakMap<LoggedIntent, Begun>();

export type CallPermit = Permit<CallArrival, GatewayCaller, CallReceipt>;

/** The ports for every call through the gateway. */
export function createGatewayPorts(services: Services): GuardPorts<CallArrival, GatewayCaller, CallReceipt> {
  return {
    authenticate: (arrival) => authenticate(services, arrival),
    decide: async (arrival, caller) =>
      decideWithinBudget(services, arrival, {
        caller,
        decision: decideWithSecret(services, arrival, {
          caller,
          decision: await decideCall(services, arrival, caller),
        }),
      }),
    record: (arrival, caller, decision) => recordOrRelease(services, { arrival, caller, decision }),
    requireLive: (caller, decision) => requireStillAllowed(services, caller, decision),
    recordOutcome: (permit, outcome) => recordOutcome(services, permit, outcome),
  };
}

async function authenticate(services: Services, arrival: CallArrival): Promise<GatewayCaller> {
  let spiffeId: string | undefined;
  try {
    const now = services.clock.trustedSeconds();
    if (arrival.headers.authorization !== undefined) {
      const presented = await authenticatePresented(services, arrival);
      services.intake.limits.take(presented.agent);
      arrival.place.moveTo(flowOfAgent(presented.agent));
      return presented;
    }
    const epoch = services.reads.epoch();
    const svid = verifyPeerSvid(services, arrival.socket, now);
    spiffeId = svid.id;
    const peer = requireLivePeer(services, svid, now);
    const agent = agentOf(peer);
    services.intake.requests.know(arrival.socket, flowOfAgent(agent));
    arrival.place.moveTo(flowOfAgent(agent));
    const intent = verifyCallIntent(services, { arrival, peer, now });
    requireSigner(intent, agent);
    const plan = planCall(describeUpstream(arrival.upstream), arrival.request);
    requireMeaning(intent, plan);
    services.intake.limits.take(agent);
    await claimIntent(services, intent, now);
    await services.published.requireSeen(intent.intent, agent);
    return { agent, intent, plan, action: plan.action, epoch, expiresAt: endOf(peer), presented: null };
  } catch (error) {
    if (error instanceof TrustWardenError) await recordRefusal(services, { arrival, spiffeId, error });
    throw error;
  }
}

function verifyCallIntent(
  services: Services,
  { arrival, peer, now }: { readonly arrival: CallArrival; readonly peer: LivePeer; readonly now: number },
): VerifiedIntent {
  const envelope = parseUtf8(parseBase64url(headerOf(arrival, "trustwarden-intent")));
  const salt = parseBase64url(headerOf(arrival, "trustwarden-salt"));
  if (salt.length !== SALT_BYTES) throw new TrustWardenError("intent_mismatch", { reason: "salt" });
  const audience = services.serverSvid().spiffeId;
  const intent = verifyIntent(envelope, { leaf: peer.svid.leaf, audience, now });
  const { method, target, body } = arrival;
  requireSameRequest(intent.intent, { method, target, body }, salt);
  return intent;
}

/** What the operator's settings make of the request is what must have been signed; a read's intent buys no delete. */
function requireMeaning(
  { intent }: VerifiedIntent,
  { action, resource }: Pick<GatewayCaller["plan"], "action" | "resource">,
): void {
  if (intent.action !== action) throw new TrustWardenError("intent_mismatch", { reason: "action" });
  if (intent.resource !== resource) throw new TrustWardenError("intent_mismatch", { reason: "resource" });
}

function headerOf({ headers }: CallArrival, name: string): string {
  const value = headers[name];
  if (typeof value !== "string" || value === "") throw new TrustWardenError("no_intent", { header: name });
  return value;
}

/** Unix seconds when the certificate or the first of the chain ends. */
function endOf({ svid, chain }: LivePeer): number {
  return Math.min(svid.leaf.notAfter, ...chain.map(({ expiresAt }) => expiresAt));
}

async function recordRefusal(
  services: Services,
  {
    arrival,
    spiffeId,
    error,
  }: {
    readonly arrival: CallArrival;
    readonly spiffeId: string | undefined;
    readonly error: TrustWardenError;
  },
): Promise<void> {
  // What does not even parse is no attempt by anybody in particular; what fails inside is not the caller's doing.
  if (isTurnedAway(error.code)) {
    const evidence = spiffeId === undefined ? {} : { spiffeId };
    return countTurnedAway(services, error, { ...evidence, peer: arrival.peer });
  }
  if (error.code === "message_signature_invalid") await note(services, { arrival, spiffeId, error });
  if (error.status === 400 || error.status === 413 || error.status >= 500) return;
  await note(services, { arrival, spiffeId, error });
}

async function note(
  services: Services,
  { arrival, spiffeId, error }: Parameters<typeof recordRefusal>[1],
): Promise<void> {
  await services.refusals.record({
    principal: spiffeId ?? "unauthenticated",
    peer: arrival.peer,
    code: error.code,
    details: detailsOf(arrival),
  });
}

/** The place that a tunnel was asked for is the alarm itself (F19); of other calls the path is the caller's text. */
function detailsOf({ method, target, upstream }: CallArrival): Readonly<Record<string, string>> {
  const route = `${method} gateway ${upstream.name}`;
  return method === "CONNECT" ? { route, place: target } : { route };
}

async function decideCall(
  services: Services,
  arrival: CallArrival,
  caller: GatewayCaller,
): Promise<Decision> {
  const asked = askedBy(services, arrival, caller);
  const { labels } = questionAbout(services, asked).context;
  const { decision, approval } = await decideAction(services, asked, namedBy(arrival, caller));
  begun.set(caller.intent, { labels, approval });
  return decision;
}

/** A caller that knows only OAuth names no job. */
function jobOf({ intent }: LoggedIntent): string | null {
  return "job" in intent && typeof intent.job === "string" ? intent.job : null;
}

function askedBy(
  services: Services,
  { peer }: Pick<CallArrival, "peer">,
  caller: GatewayCaller,
): AskedAction {
  const { agent, action, plan, epoch, intent } = caller;
  const { reads, writesOutside: outside } = plan.effects;
  const { resource, arguments: parameters } = plan;
  const call = { agent, action, resource, enforcement: "gateway", epoch, arguments: parameters } as const;
  return {
    ...call,
    chainScopes: scopesOf(services, caller),
    effects: { reads, outside },
    job: jobOf(intent),
    peer,
  };
}

/** What the gateway itself makes of the call is what an approval is compared with. */
function namedBy(arrival: CallArrival, { intent, plan }: GatewayCaller): NamedApproval | null {
  const id = arrival.headers["trustwarden-approval"];
  return typeof id === "string" ? { id, intent, parameters: parametersOf(arrival, plan) } : null;
}

/** A request, byte for byte; a tool call by its arguments, since its envelope counts the calls. */
function parametersOf(
  { upstream, method, target, body }: CallArrival,
  plan: GatewayCaller["plan"],
): CallParameters {
  if (upstream.kind === "mcp") return { kind: "arguments", arguments: plan.arguments };
  return { kind: "request", method, target, body_sha256: encodeBase64url(sha256(body)) };
}

/** Puts the call before its owner; the refusal that follows names the request by the call's own event id. */
async function askOwner(services: Services, { arrival, caller, decision }: DecidedCall): Promise<void> {
  const { agent, intent, plan } = caller;
  const { event_id: eventId, action, resource, aud: audience } = intent.intent;
  const nowMs = services.clock.nowMs();
  await requestApproval(services, {
    asked: {
      agent,
      intent: { eventId, sha256: intent.sha256, action, resource, audience },
      enforcement: "gateway",
      reasons: decision.reasons,
      policySha256: decision.policy.bundleSha256,
      parameters: parametersOf(arrival, plan),
      body: arrival.upstream.kind === "mcp" ? null : shownBody(arrival.body),
      expiresInSeconds: MAX_APPROVAL_SECONDS,
    },
    context: { nowMs, principal: formatPrincipal(agent), peer: arrival.peer, intent: null },
  });
}

/** A call that could not be recorded is not made, and costs nothing. */
async function recordOrRelease(services: Services, visit: DecidedCall): Promise<CallReceipt> {
  try {
    return await record(services, visit);
  } catch (error) {
    releaseBudget(visit.arrival);
    throw error;
  }
}

/**
 * The record of a decision on its way into the ledger, durable for whatever is more than an allowed read.
 *
 * @throws TrustWardenError `ledger_unavailable`, `entry_too_large`: nothing may act then, a read neither.
 */
async function record(services: Services, visit: DecidedCall): Promise<CallReceipt> {
  const { agent, intent } = visit.caller;
  services.ledger.requireAvailable();
  const decision = services.ledger.issueDecision({
    agent,
    intent,
    decision: visit.decision,
    approval: begun.get(intent)?.approval ?? null,
    enforcement: "gateway",
    peer: visit.arrival.peer,
    nowMs: services.clock.nowMs(),
  });
  const entries = [intent.envelope, decision].map(encodeUtf8);
  services.ledger.requireAcceptable(entries);
  const isDurableFirst = visit.decision.class !== "C" || visit.decision.effect !== "allow";
  // What the upstream does afterwards costs this thread little.
  const { place } = visit.arrival;
  const written = isDurableFirst ? append(services, entries) : appendBeside(services, entries);
  const recorded = written.finally(() => place.leave());
  if (isDurableFirst) await recorded;
  // Awaited before the answer begins and again by the outcome; in between it must not count as unhandled.
  else recorded.catch(() => undefined);
  if (visit.decision.effect === "ask") await askOwner(services, visit);
  return { decision, recorded };
}

/** For what does not wait for its record: hashes, the promise's signature and the write come when the upstream has the request. */
async function appendBeside(
  services: Services,
  entries: readonly Uint8Array[],
): Promise<Awaited<CallReceipt["recorded"]>> {
  await letRequestLeave();
  return append(services, entries);
}

async function append(
  services: Services,
  entries: readonly Uint8Array[],
): Promise<Awaited<CallReceipt["recorded"]>> {
  const appended = await services.ledger.append(entries);
  const last = appended.at(-1);
  if (last === undefined) throw new Error("entries went in");
  return { index: last.index, acknowledgement: last.acknowledgement };
}

/**
 * The chain of now must be alive and cover the action; nothing of it may have changed since the decision.
 *
 * @throws TrustWardenError the codes of a dead instance, `decision_stale`, `secret_unavailable` or `store_unavailable`.
 */
function requireStillAllowed(services: Services, caller: GatewayCaller, { epoch }: Decision): void {
  const { agent } = caller;
  // A watch for planted strings that cannot be opened stops every call, also those that nobody looks into.
  services.broker.canaries();
  if (!services.sharing.isCurrent())
    throw new TrustWardenError("store_unavailable", { reason: "nobody tells this server whom others stop" });
  requireLiveChain(services.reads, agent.instanceId, services.clock.trustedSeconds());
  // A token ends without an epoch.
  if (services.reads.epoch() === epoch && caller.presented === null) return;
  if (!mayGoOn(services, caller)) throw new TrustWardenError("decision_stale", { epoch });
}

/** A running call, as it is asked again while it runs. */
export function liveCallOf(services: Services, caller: GatewayCaller, upstream: UpstreamState): LiveCall {
  return {
    agent: watchedAgentOf(services, caller),
    upstream,
    isPresented: caller.presented !== null,
    endsInMs: caller.expiresAt * 1000 - services.clock.nowMs(),
    mayGoOn: () => mayGoOn(services, caller),
  };
}

/** Whether a call would be allowed again, on the state of this moment. */
function mayGoOn(services: Services, caller: GatewayCaller): boolean {
  return effectNow(services, caller) === "allow";
}

/** What would be decided of a call on the state of this moment. */
export function effectNow(services: Services, caller: GatewayCaller): Decision["effect"] {
  const epoch = services.reads.epoch();
  const now = services.clock.trustedSeconds();
  const chain = requireLiveChain(services.reads, caller.agent.instanceId, now);
  if (now >= caller.expiresAt) return "deny";
  const agent: AgentPrincipal = {
    ...caller.agent,
    chain: chain.map((link) => ({
      agentId: link.agentId ?? "",
      instanceId: link.instanceId,
      spiffeId: link.spiffeId,
      scope: link.scope,
    })),
  };
  const again = services.policy.decideAgain(questionAgain(services, { ...caller, agent, epoch }));
  return withStops(services, askedBy(services, { peer: "" }, { ...caller, agent, epoch }), again).effect;
}

/** What the call itself brought into its job, and the approval that it used up, do not stop it. */
function questionAgain(services: Services, caller: GatewayCaller): DecideInput {
  const { labels = [], approval = null } = begun.get(caller.intent) ?? {};
  const question = questionAbout(services, askedBy(services, { peer: "" }, caller), {
    isApproved: approval !== null,
  });
  return { ...question, context: { ...question.context, labels } };
}

async function recordOutcome(services: Services, permit: CallPermit, outcome: Outcome): Promise<void> {
  const { arrival, principal, receipt } = permit;
  const { startedMonoMs, bytes, result } = arrival.progress;
  settleBudget(arrival);
  const { index } = await receipt.recorded;
  const envelope = services.ledger.issueOutcome({
    eventId: principal.intent.intent.event_id,
    intentSha256: principal.intent.sha256,
    decisionIndex: index,
    status: outcome.status,
    result,
    bytes,
    durationMs: services.clock.monoMs() - startedMonoMs,
    nowMs: services.clock.nowMs(),
  });
  // Its place is promised to nobody: reading the promise would sign it.
  await services.ledger.append([encodeUtf8(envelope)]);
}
