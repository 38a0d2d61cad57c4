/**
 * Why an action would be allowed or denied: coverage link by link, the class, the forbidden list, and the rule.
 *
 * Coverage, class and list are computed here by the same core functions that the guard uses, from the agent's present
 * scopes. The rules themselves are asked of `opa`, where it is installed, over the policies of this checkout; a server
 * with other policy data may decide otherwise, so the explanation names the policy.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ActionName, classOf, partsOf } from "@trustwarden/core/action.ts";
import { NO_CONTEXT } from "@trustwarden/core/agentscope/decide.ts";
import {
  askOf,
  formatPolicyName,
  type PolicyData,
  parsePolicyData,
} from "@trustwarden/core/agentscope/policy-data.ts";
import type { PolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import type { AgentView } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type Json, parseJson } from "@trustwarden/core/json.ts";
import { isCovered, parseScope } from "@trustwarden/core/scope.ts";
import { type AgentInstance, fetchAgents, findAgent } from "./agents.ts";
import type { Client } from "./client.ts";
import type { Io } from "./io.ts";
import { findOpa, POLICIES_DIR, runOpa } from "./opa.ts";

const QUERY = "data.trustwarden.decision.result";

/** One link of the chain and what it says to the action. */
type LinkExplanation = {
  readonly name: string;
  readonly agent_id: string;
  readonly instance_id: string;
  readonly status: "live" | "revoked" | "expired";
  readonly scope: string[];
  readonly covers: boolean;
};

/** The `--json` form. */
export type Explanation = {
  readonly action: string;
  readonly resource: string;
  readonly class: "A" | "B" | "C";
  readonly allow: boolean;
  readonly reasons: string[];
  readonly policy: string;
  readonly links: LinkExplanation[];
  readonly rules_asked: boolean;
  /** Where a human is asked first, and why; null where nobody is. */
  readonly asks: { readonly at: string[]; readonly why: string } | null;
};

interface Link {
  readonly agent: AgentView;
  readonly instance: AgentInstance;
}

/** @throws TrustWardenError `not_found` for an unknown agent or one that never had an instance. */
export async function explainDecision({
  client,
  io,
  agent,
  action,
  resource,
}: {
  readonly client: Client;
  readonly io: Io;
  readonly agent: string;
  readonly action: ActionName;
  readonly resource: string;
}): Promise<Explanation> {
  const chain = await fetchChain(client, agent);
  const data = parsePolicyData(
    parseJson(readFileSync(join(POLICIES_DIR, "trustwarden", "data.json"), "utf8")),
  );
  const links = chain.map((link) => explainLink(link, action));
  const input = formatInput({ chain, links, action, resource, data });
  const asked = askOpa(io, input);
  const ask = askOf(action, data);
  const reasons = new Set([...reasonsOf(links, action, data), ...(asked ?? [])]);
  return {
    action,
    resource,
    class: input.class,
    allow: reasons.size === 0,
    reasons: [...reasons].sort(),
    policy: formatPolicyName(data),
    links,
    rules_asked: asked !== undefined,
    asks: ask === undefined ? null : { at: [...ask.at], why: ask.why },
  };
}

/** The explanation in sentences. */
export function formatExplanation(explanation: Explanation): readonly string[] {
  const { action, allow, reasons, links, policy } = explanation;
  return [
    allow
      ? `${action} would be allowed at a service or gateway.`
      : `${action} would be denied: ${reasons.join(", ")}.`,
    `Class ${explanation.class}: ${CLASS_MEANING[explanation.class]}.`,
    ...(explanation.asks === null
      ? []
      : [
          `A human is asked first where it goes through a ${explanation.asks.at.join(" or ")}: ${explanation.asks.why}`,
        ]),
    "Scope has to cover it in every link, from the owner's first agent down:",
    ...links.map(
      ({ name, covers, scope, status }) =>
        `  ${covers ? "covers " : "MISSING"}  ${name} (${status})  [${scope.join(", ")}]`,
    ),
    explanation.rules_asked
      ? `The rules of ${policy} were asked with opa.`
      : `The rules of ${policy} were not asked: opa is not installed. Coverage, class and the forbidden list are exact.`,
  ];
}

const CLASS_MEANING = {
  A: "irreversible, money, credentials or unknown; never enforced by the agent itself",
  B: "an ordinary write",
  C: "a read",
} as const;

/** The instances from the root down to the newest live one of the agent. */
async function fetchChain(client: Client, text: string): Promise<readonly Link[]> {
  const { agent, instance } = await findAgent(client, text);
  const leaf =
    instance ?? agent.instances.findLast((each) => each.status === "live") ?? agent.instances.at(-1);
  if (leaf === undefined) throw new TrustWardenError("not_found", { why: `${text} has no instance` });
  const agents = await fetchAgents(client, { owner: agent.owner_id });
  const byId = new Map(
    agents.flatMap((each) => each.instances.map((one) => [one.instance_id, { agent: each, instance: one }])),
  );
  const chain: Link[] = [];
  for (let id: string | null = leaf.instance_id; id !== null; ) {
    const link = byId.get(id);
    if (link === undefined) throw new TrustWardenError("not_found", { why: `the registry lacks ${id}` });
    chain.unshift(link);
    id = link.instance.parent_instance_id;
  }
  return chain;
}

function explainLink({ agent, instance }: Link, action: ActionName): LinkExplanation {
  return {
    name: agent.name,
    agent_id: agent.agent_id,
    instance_id: instance.instance_id,
    status: instance.status,
    scope: instance.scope,
    covers: isCovered(parseScope(instance.scope), action),
  };
}

function reasonsOf(
  links: readonly LinkExplanation[],
  action: ActionName,
  data: PolicyData,
): readonly string[] {
  const { verb, type } = partsOf(action);
  const reasons: string[] = [];
  if (!links.every((link) => link.covers)) reasons.push("scope_not_covered");
  if (!links.every((link) => link.status === "live")) reasons.push("identity_dead");
  if (data.forbidden.some((pattern) => pattern === action || pattern === `${verb}:${type}`))
    reasons.push("action_forbidden");
  return reasons;
}

function formatInput({
  chain,
  links,
  action,
  resource,
  data,
}: {
  readonly chain: readonly Link[];
  readonly links: readonly LinkExplanation[];
  readonly action: ActionName;
  readonly resource: string;
  readonly data: PolicyData;
}): PolicyInput {
  const leaf = chain.at(-1);
  if (leaf === undefined) throw new Error("a chain is never empty");
  const { spiffe_id: id, instance_id: instanceId } = leaf.instance;
  return {
    action: { name: action, ...partsOf(action) },
    resource,
    class: classOf(action, data.classes),
    plane: "data",
    subject: "none",
    enforcement: "service",
    principal: {
      kind: "agent",
      id,
      class_id: id.slice(0, -(instanceId.length + 1)),
      owner_id: leaf.agent.owner_id,
      custody: leaf.instance.custody,
      roles: [],
    },
    agent: {
      attested: leaf.instance.attested,
      composition_sha256: leaf.instance.composition_sha256 ?? "",
    },
    chain: chain.map((link) => link.agent.agent_id),
    scope: { covered: links.every((link) => link.covers), links: links.length },
    view: { fresh: true, epoch: 0 },
    ...NO_CONTEXT,
  };
}

/** The policy's own reasons, or undefined without opa. */
function askOpa(io: Io, input: PolicyInput): readonly string[] | undefined {
  const opa = findOpa(io.env);
  if (opa === undefined) return undefined;
  const args = [
    "eval",
    "--format",
    "json",
    "--stdin-input",
    "--data",
    join(POLICIES_DIR, "trustwarden"),
    QUERY,
  ];
  const { exitCode, stdout } = runOpa(opa, args, JSON.stringify(input));
  const answer = exitCode === 0 ? resultOf(parseJson(stdout)) : undefined;
  const reasons = isJsonObject(answer) ? answer.reasons : undefined;
  if (!Array.isArray(reasons)) return ["policy_unavailable"];
  return reasons.filter((reason) => typeof reason === "string");
}

/** `result[0].expressions[0].value` of `opa eval`. */
function resultOf(output: Json): Json | undefined {
  const results = isJsonObject(output) ? output.result : undefined;
  const first = Array.isArray(results) ? results[0] : undefined;
  const expressions = isJsonObject(first) ? first.expressions : undefined;
  const expression = Array.isArray(expressions) ? expressions[0] : undefined;
  return isJsonObject(expression) ? expression.value : undefined;
}
