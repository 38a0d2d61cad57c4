/**
 * May this principal do this action, now? Scope in every link of the chain, and a fresh view, and the policy.
 *
 * Deny overrides, and deny is also the answer to everything odd: `decide` never throws, so that no caller can turn an
 * exception into a yes. The scope and the view are checked here and demanded again by the policy. Proving who the
 * principal is, that its chain is alive and that the view is fresh is done before.
 *
 * @see ARCHITECTURE.md, "AgentScope".
 */
import type { ActionClass, ActionName } from "../action.ts";
import { partsOf } from "../action.ts";
import { NOTHING_ATTESTED } from "../attestation.ts";
import { type Decision, effectOf, type PolicyReference } from "../decision.ts";
import type { JsonObject } from "../json.ts";
import { type AgentPrincipal, type Enforcement, formatPrincipal, type Principal } from "../principal.ts";
import { isCovered, type Scope } from "../scope.ts";
import { type Plane, type PolicyInput, parsePolicyInput, type Subject } from "./policy-input.ts";
import type { PolicyEngine } from "./ports.ts";

/** A policy that gives more reasons than this is not one of ours. */
const MAX_REASONS = 16;
const REASON = /^[a-z][a-z0-9_]{0,63}$/;
/** Named in a decision when the engine cannot even say which policy it runs; its answer is not asked for then. */
const NO_POLICY: PolicyReference = { name: "none", bundleSha256: "A".repeat(43) };
/** Stopping is never held up by a stale view: here the unsafe answer would be "wait". */
const STOPPING_VERBS: readonly string[] = ["revoke", "stop"];

/** What the enforcement point and the server know of one action beside its name. */
export interface DecideContext {
  /** Parameters as policies may see them: bounded, no secrets. */
  readonly arguments: JsonObject;
  /** What the job has read so far, such as `untrusted`; sorted. */
  readonly labels: readonly string[];
  /** Whether the action carries anything to where others read it. */
  readonly outside: boolean;
  /** Whether a freeze covers the action. */
  readonly frozen: boolean;
  /** Whether a valid approval of exactly this action and these parameters is at hand. */
  readonly approved: boolean;
}

/** For the control plane, where none of it means anything. */
export const NO_CONTEXT: DecideContext = {
  arguments: {},
  labels: [],
  outside: false,
  frozen: false,
  approved: false,
};

/** One question. */
export interface DecideInput {
  readonly principal: Principal;
  readonly action: ActionName;
  /** URI of what is acted on, derived by the enforcement point from its own routes. */
  readonly resource: string;
  /** Of the action, by `classOf`; a caller may be stricter, never laxer. */
  readonly class: ActionClass;
  readonly plane: Plane;
  /** One scope for each link of the agent's chain, from the root to the leaf; empty for anyone but an agent. */
  readonly chainScopes: readonly Scope[];
  readonly view: { readonly fresh: boolean; readonly epoch: number };
  readonly enforcement: Enforcement;
  readonly context: DecideContext;
  /** Who is acted on in the control plane, seen from the principal. */
  readonly subject?: Subject;
}

/** The answer, with every reason against it; never throws. */
export function decide(input: DecideInput, engine: PolicyEngine): Decision {
  const question = policyInputOf(input);
  if (question === undefined) {
    const policy = policyOf(engine);
    return { effect: "deny", reasons: ["policy_input_malformed"], class: "A", policy, epoch: 0 };
  }
  return decideQuestion(question, engine);
}

/** The same about a question in the words of policies, such as one that a record gives back; never throws. */
export function decideQuestion(question: PolicyInput, engine: PolicyEngine): Decision {
  const policy = policyOf(engine);
  const policyReasons = reasonsOfPolicy(question, engine, policy) ?? reasonsWithoutPolicy(question);
  const reasons = finish(question, new Set([...reasonsBeforePolicy(question), ...policyReasons]));
  return {
    effect: effectOf(reasons),
    reasons,
    class: question.class,
    policy,
    epoch: question.view.epoch,
  };
}

/** Only an agent's action waits for a human; an approval that the policy does not take is no reason to ask again. */
function finish({ plane, approved }: PolicyInput, reasons: ReadonlySet<string>): readonly string[] {
  const mayAsk = plane === "data" && !approved;
  const isFinal = mayAsk || effectOf([...reasons]) !== "ask";
  return [...reasons, ...(isFinal ? [] : ["approval_not_taken"])].sort();
}

/** The question as policies see it, or undefined when any part of it is missing, odd or contradicts another. */
export function policyInputOf(input: DecideInput): PolicyInput | undefined {
  try {
    const { principal, action } = input;
    const chain = principal.kind === "agent" ? chainOf(principal) : [];
    if (chain === undefined || input.chainScopes.length > chain.length) return undefined;
    return parsePolicyInput({
      action: { name: action, ...partsOf(action) },
      resource: input.resource,
      class: input.class,
      plane: input.plane,
      subject: input.subject ?? "none",
      enforcement: input.enforcement,
      principal: describe(principal),
      agent: describeAgent(principal),
      chain,
      scope: { covered: isChainCovering(input, chain.length), links: chain.length },
      view: input.view,
      ...input.context,
    });
  } catch {
    // Safe to go on: no question means a deny. The caller records the reason.
    return undefined;
  }
}

/** The agent ids of the chain, when it is not empty and ends in this very instance. */
function chainOf(agent: AgentPrincipal): readonly string[] | undefined {
  const leaf = agent.chain.at(-1);
  if (leaf === undefined || leaf.spiffeId !== agent.spiffeId || leaf.instanceId !== agent.instanceId)
    return undefined;
  return leaf.agentId === agent.agentId ? agent.chain.map((link) => link.agentId) : undefined;
}

function describe(principal: Principal): PolicyInput["principal"] {
  const { kind } = principal;
  const id = formatPrincipal(principal);
  switch (kind) {
    case "agent":
      return {
        kind,
        id,
        // The SPIFFE ID of a foreign workload names no instance; it is the class as it stands.
        class_id: principal.isForeign === true ? principal.spiffeId : classIdOf(principal),
        owner_id: principal.ownerId,
        custody: principal.custody,
        roles: [],
      };
    case "verifier":
    case "node":
      return { kind, id, class_id: classIdOf(principal), owner_id: "", custody: "none", roles: [] };
    case "owner":
      return { kind, id, class_id: "", owner_id: principal.ownerId, custody: "none", roles: [] };
    case "person": {
      const { ownerId, roles } = principal;
      return { kind, id, class_id: "", owner_id: ownerId ?? "", custody: "none", roles };
    }
    case "enrollee":
    case "operator":
      return { kind, id, class_id: "", owner_id: "", custody: "none", roles: [] };
  }
}

/** What was verified of an agent; nobody else is one. */
function describeAgent(principal: Principal): PolicyInput["agent"] {
  const facts = principal.kind === "agent" ? principal.attested : NOTHING_ATTESTED;
  const { type, strength, selectors, compositionSha256 } = facts;
  return {
    attested: { type, strength, selectors },
    composition_sha256: compositionSha256 === null ? "" : compositionSha256,
  };
}

/** The SPIFFE ID without its last segment, which has to be the instance. */
function classIdOf({
  spiffeId,
  instanceId,
}: {
  readonly spiffeId: string;
  readonly instanceId: string;
}): string {
  const suffix = `/${instanceId}`;
  if (instanceId === "" || !spiffeId.endsWith(suffix)) throw new Error("a SPIFFE ID ends in its instance");
  return spiffeId.slice(0, -suffix.length);
}

/** Membership in every link, never in a computed set; a chain without links, or with unknown scopes, covers nothing. */
function isChainCovering({ chainScopes, action }: DecideInput, links: number): boolean {
  return links > 0 && chainScopes.length === links && chainScopes.every((scope) => isCovered(scope, action));
}

/** What no policy can lift. */
function reasonsBeforePolicy({
  plane,
  scope,
  view,
  action,
  class: actionClass,
  enforcement,
  frozen,
}: PolicyInput): readonly string[] {
  const isStopping = plane === "control" && STOPPING_VERBS.includes(action.verb);
  const reasons: string[] = [];
  if (plane === "data" && !scope.covered) reasons.push("scope_not_covered");
  if (!view.fresh && !isStopping) reasons.push("view_stale");
  if (actionClass === "A" && enforcement === "self") reasons.push("self_enforcement_refused");
  if (plane === "data" && actionClass !== "C" && frozen) reasons.push("frozen");
  return reasons;
}

/** The policy's reasons; undefined when there is no policy that gives exactly one well-formed answer. */
function reasonsOfPolicy(
  input: PolicyInput,
  engine: PolicyEngine,
  policy: PolicyReference,
): readonly string[] | undefined {
  if (policy === NO_POLICY) return undefined;
  try {
    return parseAnswer(engine.evaluate(input), policy);
  } catch {
    // Safe to go on: an engine that throws, traps or runs out of time gives no answer, and that denies.
    return undefined;
  }
}

/**
 * Without a policy everything is denied, except to stop what is one's own: revocation is served when the engine is
 * dead (class R), because there the unsafe answer would be "no". The rule is the built-in policy's, fixed here.
 */
function reasonsWithoutPolicy({ plane, action, principal, subject }: PolicyInput): readonly string[] {
  const isOwn = subject === "self" || subject === "descendant";
  const { kind, roles } = principal;
  const isOwner = kind === "owner" || kind === "agent" || roles.includes("owner");
  const mayStop =
    kind === "operator" || roles.includes("operator") || roles.includes("admin") || (isOwner && isOwn);
  return plane === "control" && action.verb === "revoke" && mayStop ? [] : ["policy_unavailable"];
}

/** Empty for an allow, not empty for a deny, undefined for anything else. */
function parseAnswer(answer: unknown, policy: PolicyReference): readonly string[] | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  if (!("allow" in answer) || !("reasons" in answer) || !("policy" in answer)) return undefined;
  const { allow, reasons, policy: name } = answer;
  if (Object.keys(answer).length !== 3 || name !== policy.name) return undefined;
  if (typeof allow !== "boolean" || !isReasons(reasons)) return undefined;
  // The two halves of the answer have to agree: an allow with reasons against it is no allow.
  return allow === (reasons.length === 0) ? reasons : undefined;
}

function isReasons(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length > MAX_REASONS) return false;
  return value.every((reason: unknown) => typeof reason === "string" && REASON.test(reason));
}

function policyOf(engine: PolicyEngine): PolicyReference {
  try {
    const { name, bundleSha256 } = engine.policy;
    return typeof name === "string" && typeof bundleSha256 === "string" ? { name, bundleSha256 } : NO_POLICY;
  } catch {
    // Safe to go on: the decision is a deny that names no policy.
    return NO_POLICY;
  }
}
