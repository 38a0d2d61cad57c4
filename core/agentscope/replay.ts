/**
 * What a draft of a custom policy would have made of a decision that is in the ledger.
 *
 * A record does not say everything that the policies of then were shown: parameters are committed to and not logged, and
 * what a job had read, and where an action's content went, are not logged at all. The draft is therefore asked by an
 * engine that does not let it look at such members. When it looks all the same the decision is `unknown`, and never
 * guessed. The built-in policy is not replaced by a draft: what it said then still holds.
 *
 * @see docs/decisions/0069-replay-generated-client-and-buttons.md
 */
import { parseActionName, partsOf } from "../action.ts";
import { type Decision, effectOf } from "../decision.ts";
import { TrustWardenError } from "../error.ts";
import type { DecisionRecord, Intent } from "../event.ts";
import { decideQuestion } from "./decide.ts";
import { type PolicyInput, parsePolicyInput } from "./policy-input.ts";
import type { PolicyEngine } from "./ports.ts";

/** Members of the input that a record may lack; `policy` is the answer of a policy that gave none. */
export type Unrecorded = "arguments" | "labels" | "outside" | "frozen" | "selectors" | "policy";

const OWNER_PREFIX = "owner:";
const INSTANCE = /\/inst-[^/]+$/;
/** How decisions of several policies are named: by all of their names. */
const SEVERAL = "+";
/** What the server says beside the policies; a draft lifts none of it. */
const BESIDE_POLICIES: readonly string[] = [
  "approval_denied",
  "approval_expired",
  "approval_mismatch",
  "approval_pending",
  "approval_unknown",
  "approval_used",
  "approval_withdrawn",
  "budget_exhausted",
  "job_stopped",
  "policy_stopped",
  "price_unknown",
  "restore_held",
];

/** A decision as the ledger has it. */
export interface RecordedDecision {
  readonly intent: Pick<Intent, "agent" | "action" | "resource"> | PresentedWords;
  readonly decision: DecisionRecord;
  /** Of the instance, from its registration; null when it is not known any more. */
  readonly selectors: readonly string[] | null;
}

interface PresentedWords {
  readonly agent: { readonly id: string; readonly spiffe_id: string };
  readonly action: string;
  readonly resource: string;
}

/** The question of then; what is unrecorded has a placeholder in it. */
export interface RecordedQuestion {
  readonly question: PolicyInput;
  readonly unrecorded: readonly Unrecorded[];
}

/** Asks a policy that may not look at what is unrecorded. */
export interface UnseeingEngine extends Pick<PolicyEngine, "policy"> {
  /**
   * The policy's raw answer, or what it looked at and must not; never a guess.
   *
   * @throws when the policy gives no answer to what is recorded, which denies.
   */
  answer(recorded: RecordedQuestion): UnseenAnswer;
}

/** An answer that rests on what is recorded alone, or none. */
export type UnseenAnswer =
  | { readonly kind: "answer"; readonly answer: unknown }
  | { readonly kind: "needs"; readonly members: readonly Unrecorded[] };

/** What came of one decision. */
export type Replayed =
  | { readonly kind: "same"; readonly effect: Decision["effect"] }
  | {
      readonly kind: "changed";
      readonly before: Decision["effect"];
      readonly after: Decision["effect"];
      /** Of the draft's world; empty for an allow. */
      readonly reasons: readonly string[];
    }
  | { readonly kind: "unknown"; readonly needs: readonly Unrecorded[] };

/** Decides a recorded decision again, with the draft in the place of whatever custom policy there was. */
export function replayDecision(
  recorded: RecordedDecision,
  { draft, builtin }: { readonly draft: UnseeingEngine; readonly builtin: PolicyEngine },
): Replayed {
  const asked = questionOf(recorded);
  const { reasons: recordedReasons } = recorded.decision;
  const before = effectOf(recordedReasons);
  const base = reasonsWithoutCustom(recorded, asked, builtin);
  if (typeof base === "string") return { kind: "unknown", needs: [base] };
  // Whatever the draft says, it lifts nothing.
  if (effectOf(base) === "deny") return compare(before, base);
  const drafted = reasonsOfDraft(asked, draft);
  return drafted.kind === "needs"
    ? { kind: "unknown", needs: drafted.members }
    : compare(before, [...base, ...drafted.reasons]);
}

function compare(before: Decision["effect"], reasons: readonly string[]): Replayed {
  const after = effectOf(reasons);
  if (after === before) return { kind: "same", effect: before };
  return { kind: "changed", before, after, reasons: [...new Set(reasons)].sort() };
}

/** The question that the policies were asked then, as far as it is recorded. @throws TrustWardenError. */
export function questionOf({ intent, decision, selectors }: RecordedDecision): RecordedQuestion {
  const action = parseActionName(intent.action);
  const [owner = "", ...chain] = decision.chain;
  if (!owner.startsWith(OWNER_PREFIX)) throw new TrustWardenError("record_malformed", { field: "chain" });
  const { attested, class: actionClass, reasons, enforcement } = decision;
  const knownSelectors = attested.type === "none" ? [] : selectors;
  const question = parsePolicyInput({
    action: { name: action, ...partsOf(action) },
    resource: intent.resource,
    class: actionClass,
    plane: "data",
    subject: "none",
    enforcement,
    principal: {
      kind: "agent",
      id: intent.agent.spiffe_id,
      // The SPIFFE ID of a foreign workload names no instance; it is the class as it stands.
      class_id: intent.agent.spiffe_id.replace(INSTANCE, ""),
      owner_id: owner.slice(OWNER_PREFIX.length),
      custody: decision.custody,
      roles: [],
    },
    agent: {
      attested: { type: attested.type, strength: attested.strength, selectors: [...(knownSelectors ?? [])] },
      composition_sha256: attested.composition_sha256 ?? "",
    },
    chain,
    scope: { covered: !reasons.includes("scope_not_covered"), links: chain.length },
    view: { fresh: !reasons.includes("view_stale"), epoch: decision.lease_epoch },
    arguments: {},
    labels: [],
    outside: actionClass !== "C",
    frozen: actionClass !== "C" && reasons.includes("frozen"),
    approved: decision.approval !== null,
  });
  const unrecorded: readonly (readonly [Unrecorded, boolean])[] = [
    // Only the gateway shows policies what it read in the call.
    ["arguments", enforcement === "gateway"],
    ["labels", true],
    ["outside", true],
    // A freeze is a reason against everything but reading.
    ["frozen", actionClass === "C"],
    ["selectors", knownSelectors === null],
  ];
  return { question, unrecorded: unrecorded.flatMap(([name, isMissing]) => (isMissing ? [name] : [])) };
}

/**
 * What everybody but a custom policy had against it. Where a custom policy had its say, the built-in one of now is asked
 * what was its own; the member that would be needed to tell the two apart is the answer when they cannot be.
 */
function reasonsWithoutCustom(
  { decision }: RecordedDecision,
  { question }: RecordedQuestion,
  builtin: PolicyEngine,
): readonly string[] | Unrecorded {
  const { reasons, policy } = decision;
  if (reasons.includes("policy_input_malformed")) return "policy";
  if (!policy.name.includes(SEVERAL)) return reasons.includes("policy_unavailable") ? "policy" : reasons;
  if (reasons.includes("tainted")) return "labels";
  const own = decideQuestion(question, builtin).reasons;
  return [...own, ...reasons.filter((reason) => BESIDE_POLICIES.includes(reason))];
}

function reasonsOfDraft(
  asked: RecordedQuestion,
  draft: UnseeingEngine,
):
  | { readonly kind: "reasons"; readonly reasons: readonly string[] }
  | { readonly kind: "needs"; readonly members: readonly Unrecorded[] } {
  const { policy } = draft;
  let said: UnseenAnswer | undefined;
  try {
    said = draft.answer(asked);
  } catch {
    // Safe to go on: in force, a policy without an answer denies, and so it does here.
  }
  if (said?.kind === "needs") return said;
  const answer = said?.answer;
  const { reasons } = decideQuestion(asked.question, { policy, evaluate: () => answer });
  return { kind: "reasons", reasons };
}
