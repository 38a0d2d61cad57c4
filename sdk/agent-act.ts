/**
 * `act`: an action inside the agent's own process, decided by the server before and reported after.
 *
 * Nobody but the agent stands between the decision and the act, so this binds an honest agent only; the ledger says
 * so (`enforcement: self`), class A is refused, and no service accepts such a receipt as permission.
 */
import type { DecisionAnswer } from "@trustwarden/core/api/action.ts";
import type { OpenedApproval } from "@trustwarden/core/approval.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type GuardPorts, guard, type Outcome, type Permit } from "@trustwarden/core/guard.ts";
import type { AgentSession, Asked, SignedAction } from "./agent-session.ts";
import { askForDecision, decisionOf, requireProven } from "./decision-answer.ts";
import { issueOutcome } from "./outcome.ts";
import { type OpenedReceipt, openReceipt, type VerifiedReceipt } from "./receipt.ts";

/** The process holds no lease of its own; a decision is worth as long as one lease, counted from asking. */
const DECISION_LASTS_MS = 700;

/** What is to be done, in the words of the policy. */
export interface SelfAction extends Pick<Asked, "action" | "resource" | "params" | "job"> {
  /** The approval that `waitForApproval` gave for exactly this; worth one act. */
  readonly approval?: string | undefined;
}

/** The intent as it went out, and what came back. */
interface Asking {
  readonly signed: SignedAction;
  readonly answer: DecisionAnswer;
  readonly opened: OpenedReceipt;
}

/**
 * Asks, acts, reports.
 *
 * @throws TrustWardenError `approval_required` with the request's id, `denied` with the reasons, `lease_expired` when the decision came too late, the server's
 *   refusal; and whatever `act` throws.
 */
export async function agentAct<T>(
  session: AgentSession,
  asked: SelfAction,
  act: (permit: Permit<SelfAction, unknown, VerifiedReceipt>) => Promise<T>,
): Promise<T> {
  const release = session.outcomes.reserve();
  try {
    return await guard(createSelfPorts(session), asked, act);
  } finally {
    release();
  }
}

/**
 * The ports of one act. The server authenticates the intent and decides in one round trip, so the first step makes
 * that round trip and the next ones unpack and prove what came.
 */
function createSelfPorts(session: AgentSession): GuardPorts<SelfAction, Asking, VerifiedReceipt> {
  const { runtime } = session;
  let askedAtMs = runtime.monotonicMs();
  return {
    authenticate: (action) =>
      session.server.withServerId((audience) => {
        askedAtMs = runtime.monotonicMs();
        return askInTime(session, session.sign({ ...action, audience, request: null }), action.approval);
      }),
    decide: async (_, { opened }) => decisionOf(opened),
    record: async (_, { signed, answer, opened }) => {
      const verified = await session.keepReceipt(opened, { signed, enforcement: "self" });
      requireProven(answer, { record: verified.decision, spiffeId: signed.credential.svid.id });
      session.questions.requireAnswered(signed, verified);
      return verified;
    },
    requireLive: () => {
      const elapsedMs = runtime.monotonicMs() - askedAtMs;
      if (!(elapsedMs < DECISION_LASTS_MS)) throw new TrustWardenError("lease_expired", { elapsedMs });
    },
    recordOutcome: ({ principal, receipt }, outcome) =>
      reportOutcome(session, { signed: principal.signed, verified: receipt, outcome, askedAtMs }),
  };
}

async function askInTime(
  session: AgentSession,
  signed: SignedAction,
  approval: string | undefined,
): Promise<Asking> {
  const { credential, intent } = signed;
  try {
    const answer = await askForDecision(session.server, {
      agent: credential.serverAgent,
      intent: intent.envelope,
      svidChain: credential.svidChain,
      ...(approval === undefined ? {} : { approval: presentSelf(signed, approval) }),
      timeoutMs: DECISION_LASTS_MS,
    });
    return { signed, answer, opened: openReceipt(answer.receipt) };
  } catch (cause) {
    const isLate = cause instanceof TrustWardenError && String(cause.details.reason).endsWith("timeout");
    throw isLate
      ? new TrustWardenError("lease_expired", { reason: "no decision in time" }, { cause })
      : cause;
  }
}

function presentSelf({ asked, paramsSalt }: SignedAction, id: string): OpenedApproval {
  return { id, parameters: { kind: "params", params: asked.params }, salt: paramsSalt ?? "" };
}

function reportOutcome(
  session: AgentSession,
  done: {
    readonly signed: SignedAction;
    readonly verified: VerifiedReceipt;
    readonly outcome: Outcome;
    readonly askedAtMs: number;
  },
): Promise<void> {
  const { credential } = done.signed;
  const finished = {
    receipt: done.verified.receipt,
    // Its connections are cut and its questions refused: that is how a stop ends an act, whatever it threw then.
    status: done.outcome.status === "failure" && session.isStopped ? "aborted" : done.outcome.status,
    bytes: 0,
    durationMs: session.runtime.monotonicMs() - done.askedAtMs,
    nowMs: session.runtime.nowMs(),
  };
  return session.outcomes.report(issueOutcome(finished, credential.key.signer, credential.svid.leaf.sha256));
}
