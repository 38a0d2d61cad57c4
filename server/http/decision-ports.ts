/**
 * The path's ports for the data plane: how an agent's intent, brought by the service it visits or by the agent itself,
 * becomes a decision in the ledger.
 *
 * The agent is proven by its intent's signature and its SVID chain, never by what the service says; the service is
 * proven by its socket and must be the one that the intent names. Intent and decision are neighbours in the ledger.
 */
import { type ActionName, parseActionName } from "@trustwarden/core/action.ts";
import { isLabel } from "@trustwarden/core/agentscope/policy-input.ts";
import { type DecisionRequest, decisionRequest } from "@trustwarden/core/api/action.ts";
import { encodeUtf8, parseBase64url } from "@trustwarden/core/bytes.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ApprovalReference } from "@trustwarden/core/event.ts";
import type { GuardPorts } from "@trustwarden/core/guard.ts";
import { type VerifiedIntent, verifyIntent } from "@trustwarden/core/intent.ts";
import type { AgentPrincipal, Enforcement } from "@trustwarden/core/principal.ts";
import { decideAction } from "../approvals/decide-action.ts";
import type { DecidedAction, Effects, NamedApproval } from "../approvals/ports.ts";
import { verifyOpening } from "../approvals/present-approval.ts";
import { withNewest } from "../shared/sharing.ts";
import type { Arrival } from "./arrival.ts";
import type { Evidence } from "./authenticate.ts";
import { recordRefusal } from "./control-ports.ts";
import { admitForeignPeer, admitForeignVisitor } from "./foreign.ts";
import { requireSigner } from "./intent-credentials.ts";
import { agentOf, type LivePeer, requireLivePeer, verifyPeerSvid } from "./peer.ts";
import { flowOfAgent } from "./request-flow.ts";
import type { GuardedRoute } from "./route.ts";
import type { Services } from "./services.ts";
import { claimIntent } from "./used-once.ts";

/** The intent and the decision. */
const RECORDS_OF_DECISION = 2;

/** An agent, its intent, and where the decision will bind. */
export interface DecisionCaller {
  readonly agent: AgentPrincipal;
  readonly intent: VerifiedIntent;
  readonly enforcement: Enforcement;
  readonly action: ActionName;
  readonly effects: Effects | null;
  readonly approval: NamedApproval | null;
  /**
   * Read before the liveness of the chain. The other way round, a revocation between the two would give an allow that
   * claims to know of it, and the enforcement point would believe that.
   */
  readonly epoch: number;
}

/** The decision's place in the ledger. */
export interface DecisionReceipt {
  /** Envelope text, exactly as logged. */
  readonly decision: string;
  readonly index: number;
  readonly acknowledgement: string;
}

/** The ports for one visit of `POST /v1/decisions`. */
export function createDecisionPorts(
  services: Services,
  route: GuardedRoute,
): GuardPorts<Arrival, DecisionCaller, DecisionReceipt> & {
  /** Gives back the places that the visit took, when it is answered. */
  readonly leave: () => void;
} {
  // One set of ports walks one path: what `decide` used up, `record` says.
  let decided: DecidedAction | undefined;
  let leave = (): void => undefined;
  const onEntered = (left: () => void): void => {
    const leaveBefore = leave;
    leave = () => {
      leaveBefore();
      left();
    };
  };
  return {
    leave: () => leave(),
    authenticate: (arrival) => authenticate(services, { arrival, route, onEntered }),
    decide: async (arrival, caller) => {
      decided = await decideVisit(services, arrival, caller);
      return decided.decision;
    },
    record: (arrival, caller, decision) =>
      record(services, { arrival, caller, decision, approval: decided?.approval ?? null }),
    // `authorize` walks only the first half: the enforcement point re-checks, acts and reports.
    requireLive: () => refuseToAct(),
    recordOutcome: () => refuseToAct(),
  };
}

function refuseToAct(): never {
  throw new Error("the decision route decides and never acts");
}

interface ArrivedVisit {
  readonly arrival: Arrival;
  readonly route: GuardedRoute;
  readonly onEntered: (leave: () => void) => void;
}

async function authenticate(services: Services, visit: ArrivedVisit): Promise<DecisionCaller> {
  const evidence: Evidence = {};
  try {
    await admitForeignPeer(services, visit.arrival);
    await admitForeignVisitor(services, visit.arrival, decisionRequest.parse(visit.arrival.body));
    const caller = await withNewest(services, () => authenticateAgent(services, visit, evidence));
    await services.published.requireSeen(caller.intent.intent, caller.agent);
    await claimIntent(services, caller.intent, services.clock.trustedSeconds());
    return caller;
  } catch (error) {
    if (error instanceof TrustWardenError) await recordRefusal(services, { ...visit, evidence, error });
    throw error;
  }
}

function authenticateAgent(
  services: Services,
  { arrival, onEntered }: ArrivedVisit,
  evidence: Evidence,
): DecisionCaller {
  const now = services.clock.trustedSeconds();
  if (arrival.headers.authorization !== undefined) throw new TrustWardenError("svid_bearer_refused");
  const epoch = services.reads.epoch();
  const socketSvid = verifyPeerSvid(services, arrival.socket, now);
  evidence.spiffeId = socketSvid.id;
  const peer = requireLivePeer(services, socketSvid, now);
  onEntered(services.intake.admission.enter(peer.instance.instanceId, RECORDS_OF_DECISION));
  const request = decisionRequest.parse(arrival.body);
  const { intent: envelope, svid_chain } = request;
  const svid = services.chains.verify(svid_chain.map(parseBase64url), now);
  const audience = audienceOf(services, peer);
  const agent = agentOf(requireLivePeer(services, svid, now));
  // Before the signature is checked, which costs more than all else here: a service that lies is refused only its own request.
  takePlaceOf(services, { arrival, peer, agent });
  const intent = verifyIntent(envelope, { leaf: svid.leaf, audience, now });
  requireSigner(intent, agent);
  const enforcement = requireEnforcement(peer, { agent, intent });
  const action = parseActionName(intent.intent.action);
  const effects = effectsOf(request);
  const approval = approvalOf(request, intent);
  services.intake.limits.take(agent);
  return { agent, intent, enforcement, action, effects, approval, epoch };
}

/** The connection is the service's, or the agent's own; the request counts as the agent's. @throws TrustWardenError `overloaded`. */
function takePlaceOf(
  { intake }: Services,
  {
    arrival,
    peer,
    agent,
  }: { readonly arrival: Arrival; readonly peer: LivePeer; readonly agent: AgentPrincipal },
): void {
  const flow = flowOfAgent(agent);
  const { instanceId, spiffeId } = peer.instance;
  const isOwn = instanceId === agent.instanceId;
  intake.requests.know(
    arrival.socket,
    isOwn ? flow : { owner: spiffeId, agent: spiffeId, principal: spiffeId },
  );
  arrival.place.moveTo(flow);
}

/** A service may only bring what names it; an agent may only bring what names the server. */
function audienceOf(services: Services, { instance }: LivePeer): string {
  return instance.kind === "verifier" ? instance.spiffeId : services.serverSvid().spiffeId;
}

function requireEnforcement(
  { instance }: LivePeer,
  { agent, intent }: { readonly agent: AgentPrincipal; readonly intent: VerifiedIntent },
): Enforcement {
  if (instance.kind === "verifier") {
    // A service acts on a request; an intent that is bound to none could be shown for any.
    if (intent.intent.request === null)
      throw new TrustWardenError("intent_mismatch", { reason: "no request" });
    return "service";
  }
  if (instance.instanceId !== agent.instanceId) {
    throw new TrustWardenError("principal_refused", { reason: "another agent's intent" });
  }
  return "self";
}

function effectsOf({ effects }: DecisionRequest): Effects | null {
  if (effects === undefined) return null;
  if (!effects.reads.every(isLabel)) throw new TrustWardenError("request_malformed", { reason: "label" });
  return effects;
}

/** An approval counts for what the call's own intent commits to, whoever brings it. */
function approvalOf({ approval }: DecisionRequest, intent: VerifiedIntent): NamedApproval | null {
  if (approval === undefined) return null;
  return { id: approval.id, parameters: verifyOpening(approval, intent.intent), intent };
}

function decideVisit(services: Services, arrival: Arrival, caller: DecisionCaller): Promise<DecidedAction> {
  const { agent, intent, enforcement, action, effects, approval, epoch } = caller;
  const { resource, job } = intent.intent;
  const asked = { agent, action, resource, enforcement, epoch, effects, job, arguments: {} };
  return decideAction(services, { ...asked, peer: arrival.peer }, approval);
}

async function record(
  services: Services,
  visit: {
    readonly arrival: Arrival;
    readonly caller: DecisionCaller;
    readonly decision: Decision;
    readonly approval: ApprovalReference | null;
  },
): Promise<DecisionReceipt> {
  const { agent, intent, enforcement } = visit.caller;
  const decision = services.ledger.issueDecision({
    agent,
    intent,
    decision: visit.decision,
    approval: visit.approval,
    enforcement,
    peer: visit.arrival.peer,
    nowMs: services.clock.nowMs(),
  });
  const appended = await services.ledger.append([encodeUtf8(intent.envelope), encodeUtf8(decision)]);
  const last = appended[1];
  if (last === undefined) throw new Error("two entries went in");
  services.decisions.remember(last.index, {
    index: last.index,
    eventId: intent.intent.event_id,
    intentSha256: intent.sha256,
    isAllowed: visit.decision.effect === "allow",
    enforcement,
    audience: intent.intent.aud,
    agent: agent.spiffeId,
    mayEndElsewhere: services.sharing.isShared,
  });
  return { decision, index: last.index, acknowledgement: last.acknowledgement };
}
