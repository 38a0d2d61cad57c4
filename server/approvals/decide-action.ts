/**
 * May an agent do this, with all that the server knows beside the scopes: what its job has read, whether a freeze is on,
 * and whether a human said yes to exactly this.
 *
 * The one place where data-plane decisions are made: visits of services, acts in the agent's own process, calls through
 * the gateway and questions of others (AuthZEN, Envoy) all come here. What an approval lifts is decided twice, without
 * it and with it, so that an approval is only used up where one is needed, and never lifts anything but what was asked.
 */
import { type ActionClass, classOf } from "@trustwarden/core/action.ts";
import type { DecideInput } from "@trustwarden/core/agentscope/decide.ts";
import { formatParameters } from "@trustwarden/core/approval.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { type Decision, denyFor } from "@trustwarden/core/decision.ts";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import { requireNewest } from "../shared/sharing.ts";
import type { Freeze } from "../store/approval-ports.ts";
import { isHeld } from "./held.ts";
import type { AskedAction, DecidedAction, DecidingServices, NamedApproval } from "./ports.ts";
import { isPolicyStopped } from "./stopped-policy.ts";

/** What makes an approval worthless for a call: the decision says so. Anything else is a failure, and nothing is decided. */
const REFUSALS: readonly ErrorCode[] = [
  "approval_unknown",
  "approval_mismatch",
  "approval_pending",
  "approval_denied",
  "approval_expired",
  "approval_used",
  "approval_withdrawn",
];

/** What the question to the policies is, on the state of this moment. */
export function questionAbout(
  services: Pick<DecidingServices, "clock" | "policy" | "reads">,
  asked: AskedAction,
  { isApproved } = { isApproved: false },
): DecideInput {
  const { agent, action, resource, enforcement, epoch } = asked;
  const actionClass = classOf(action, services.policy.classes);
  return {
    principal: agent,
    action,
    resource,
    class: actionClass,
    plane: "data",
    chainScopes: asked.chainScopes ?? agent.chain.map(({ scope }) => scope),
    view: { fresh: true, epoch },
    enforcement,
    context: {
      arguments: asked.arguments,
      labels: labelsOf(services, asked),
      outside: isOutside(asked, actionClass),
      frozen: findFreeze(services) !== undefined,
      approved: isApproved,
    },
  };
}

/** Decides without doing anything: no approval is used and no label is kept. For questions, and for the first look. */
export async function previewAction(
  services: Pick<DecidingServices, "clock" | "policy" | "reads">,
  asked: AskedAction,
  { isApproved } = { isApproved: false },
): Promise<Decision> {
  const decision = await services.policy.decide(questionAbout(services, asked, { isApproved }));
  return withStops(services, asked, decision);
}

/** A stopped job is not worked on; a stopped policy, and a server held after a restore, allow nothing. No approval lifts any of it. */
export function withStops(
  services: Pick<DecidingServices, "policy" | "reads">,
  { agent, job }: Pick<AskedAction, "agent" | "job">,
  decision: Decision,
): Decision {
  const { ownerId } = agent;
  const isJobStopped = job !== null && services.reads.isStopped({ kind: "job", id: job, ownerId });
  const stopped = [
    ...(isJobStopped ? ["job_stopped"] : []),
    ...(isPolicyStopped(services) ? ["policy_stopped"] : []),
    ...(isHeld(services) ? ["restore_held"] : []),
  ];
  return stopped.length === 0 ? decision : denyFor(decision, stopped);
}

/**
 * Decides about an action that is about to happen. An approval that the call names and needs is used up, and what the
 * action reads is kept on its job, both durable when this returns.
 *
 * @throws TrustWardenError `store_unavailable`, `ledger_unavailable`, or what a dead instance is refused with.
 */
export async function decideAction(
  services: DecidingServices,
  asked: AskedAction,
  named: NamedApproval | null,
): Promise<DecidedAction> {
  // Another server may have put a label on the job a moment ago, and no epoch says so.
  if (isMovedByLabels(services, asked)) await requireNewest(services);
  const first = await previewAction(services, asked);
  const decided =
    first.effect === "ask" && named !== null
      ? await decideWithApproval(services, { asked, named, first })
      : { decision: first, approval: null };
  if (decided.decision.effect === "allow") await keepLabels(services, asked);
  return decided;
}

async function decideWithApproval(
  services: DecidingServices,
  call: { readonly asked: AskedAction; readonly named: NamedApproval; readonly first: Decision },
): Promise<DecidedAction> {
  const { asked, named, first } = call;
  const decision = await previewAction(services, asked, { isApproved: true });
  if (decision.effect !== "allow") return { decision, approval: null };
  try {
    const committed = await services.commands.useApproval({
      context: contextOf(services, asked),
      id: named.id,
      instanceId: asked.agent.instanceId,
      usedBy: named.intent.intent.event_id,
      action: asked.action,
      resource: asked.resource,
      audience: named.intent.intent.aud,
      parametersText: formatParameters(named.parameters),
      policySha256: decision.policy.bundleSha256,
      reasons: first.reasons,
    });
    await services.ledger.settle(committed);
    return { decision, approval: committed.value };
  } catch (error) {
    if (!(error instanceof TrustWardenError) || !REFUSALS.includes(error.code)) throw error;
    const reasons = [...first.reasons, error.code].sort();
    return { decision: { ...first, effect: "deny", reasons }, approval: null };
  }
}

/** What an instance has read stays on it whatever job it names next; what its job has read, on everybody who works on it. */
function holdersOf({ agent, job }: AskedAction): readonly string[] {
  if (job === null) return [agent.instanceId];
  return [agent.instanceId, `job:${agent.ownerId}:${encodeBase64url(sha256(encodeUtf8(job)))}`];
}

/** An ancestor tells its children what it knows, whenever it learnt it: its labels are theirs. */
function labelsOf({ reads }: Pick<DecidingServices, "reads">, asked: AskedAction): readonly string[] {
  const holders = new Set([...asked.agent.chain.map(({ instanceId }) => instanceId), ...holdersOf(asked)]);
  const labels = [...holders].flatMap((holder) => reads.labelsOf(holder));
  return labels.length === 0 ? labels : [...new Set(labels)].sort();
}

/** Labels are the built-in policy's business where something is carried outside, and a custom policy's anywhere. */
function isMovedByLabels({ policy }: Pick<DecidingServices, "policy">, asked: AskedAction): boolean {
  return policy.references.length > 1 || isOutside(asked, classOf(asked.action, policy.classes));
}

/** Where nobody says what an action does, whatever is more than a read counts as going outside. */
function isOutside({ effects }: Pick<AskedAction, "effects">, actionClass: ActionClass): boolean {
  return effects?.outside ?? actionClass !== "C";
}

async function keepLabels(services: DecidingServices, asked: AskedAction): Promise<void> {
  const labels = asked.effects?.reads ?? [];
  if (labels.length === 0) return;
  const holders = holdersOf(asked).filter((holder) => {
    const known = services.reads.labelsOf(holder);
    return labels.some((label) => !known.includes(label));
  });
  if (holders.length === 0) return;
  await services.commands.addLabels({ context: contextOf(services, asked), holders, labels });
}

/** The freeze that is on, if one is. */
export function findFreeze({ reads, clock }: Pick<DecidingServices, "reads" | "clock">): Freeze | undefined {
  const freeze = reads.freeze();
  const until = freeze?.until ?? null;
  return until === null || clock.trustedSeconds() < until ? freeze : undefined;
}

/** Neither command is the act of a route: the call's own intent is logged with its decision. */
function contextOf({ clock }: DecidingServices, { agent, peer }: AskedAction) {
  return { nowMs: clock.nowMs(), principal: formatPrincipal(agent), peer, intent: null };
}
