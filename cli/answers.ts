/**
 * The answers to "which agent did this?" and "who authorized it?" in sentences, from proven records only: names come
 * from SPIFFE IDs and signed documents, never from what the registry says today.
 */
import { parseSpiffeId, pathOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { ControlRecord, Intent } from "@trustwarden/core/event.ts";
import type { Json } from "@trustwarden/core/json.ts";
import type { PresentedIntent } from "@trustwarden/core/presented-intent.ts";
import type { AuthorityLink } from "./authority.ts";
import type { Evidence } from "./evidence.ts";
import { printable } from "./output.ts";

/** An answer for a person, and the same facts for a program. */
export interface Answer {
  readonly lines: readonly string[];
  readonly facts: { readonly [name: string]: Json };
}

/** Which agent did this? */
export function describeDoer(evidence: Evidence): Answer {
  if (evidence.intent !== undefined) {
    const { record } = evidence.intent;
    const how = `by that instance's key at the moment of action (SVID ${record.agent.svid_sha256})`;
    return describeAgent(evidence, record, { how, facts: { svid_sha256: record.agent.svid_sha256 } });
  }
  if (evidence.presented !== undefined) {
    const { record } = evidence.presented;
    const { jti, jkt } = record.token;
    const how = `by a DPoP proof of the key ${jkt} of access token ${jti}, as the server recorded it`;
    return describeAgent(evidence, record, { how, facts: { token_jti: jti, key: jkt } });
  }
  if (evidence.control !== undefined) return describePrincipal(evidence.control.record);
  throw new Error("evidence has an intent, a presented one or a control record");
}

/**
 * Who authorized it?
 *
 * @param links - from the owner's first agent down; empty for an event without an agent.
 */
export function describeAuthority(evidence: Evidence, links: readonly AuthorityLink[]): Answer {
  const verdict = describeVerdict(evidence);
  const heading = links.length > 0 ? ["The chain, each link proven by its signed ticket or grant:"] : [];
  return {
    lines: [...verdict.lines, ...heading, ...links.map(formatLink)],
    facts: { ...verdict.facts, links: links.map((link) => ({ ...link, scope: [...link.scope] })) },
  };
}

/** The agent's own name: the segment before the instance in its SPIFFE ID. */
function nameIn(spiffeId: string): string {
  return pathOf(parseSpiffeId(spiffeId)).split("/").at(-2) ?? spiffeId;
}

function describeAgent(
  evidence: Evidence,
  intent: Intent | PresentedIntent,
  signed: { readonly how: string; readonly facts: Readonly<Record<string, string>> },
): Answer {
  const { agent, action, resource, time } = intent;
  const result = resultOf(evidence);
  const name = nameIn(agent.spiffe_id);
  return {
    lines: [
      `${name} asked for ${printable(action)} on ${printable(resource)} at ${time}. ${result.sentence}`,
      `  agent     ${agent.id}`,
      `  identity  ${agent.spiffe_id}`,
      `  signed    ${signed.how}`,
    ],
    facts: {
      name,
      agent_id: agent.id,
      agent_identity: agent.spiffe_id,
      ...signed.facts,
      action,
      resource,
      timestamp: time,
      outcome: result.outcome,
    },
  };
}

function describePrincipal(control: ControlRecord): Answer {
  const { principal, kind, subject, allow, time, from } = control;
  const ending = allow
    ? "It was done."
    : `It was refused (${control.reasons.join(", ")}), and nothing was done.`;
  return {
    lines: [
      `${printable(principal)}, from ${printable(from.peer)}, asked for ${kind} on ${printable(subject ?? "nothing")} at ${time}. ${ending}`,
    ],
    facts: { principal, kind, subject, timestamp: time, outcome: allow ? "success" : "denied" },
  };
}

/** What came of an action, from the decision and the outcome record. */
function resultOf({ decision, outcome, control }: Evidence): {
  readonly outcome: string;
  readonly sentence: string;
} {
  const verdict = decision?.record ?? control?.record;
  if (verdict?.allow === false) {
    const reasons = verdict.reasons.join(", ");
    return { outcome: "denied", sentence: `It was denied (${reasons}), and nothing was done.` };
  }
  if (control !== undefined) return { outcome: "success", sentence: "It was done." };
  if (outcome === undefined)
    return { outcome: "pending", sentence: "It was allowed; no outcome is recorded yet." };
  const { status } = outcome.record;
  return { outcome: status, sentence: `It was allowed, and ended in ${status}.` };
}

function describeVerdict({ decision, control }: Evidence): Answer {
  if (decision !== undefined) {
    const { allow, reasons, policy, enforcement, lease_epoch, chain, approval } = decision.record;
    const policyId = `policy:${policy.name}@${policy.bundle_sha256}`;
    const verdict = allow ? "allowed" : `denied (${reasons.join(", ")})`;
    return {
      lines: [
        `${allow ? "" : "Nobody did. "}${policy.name} ${verdict} it: class ${decision.record.class}, enforced by the ${enforcement}, on epoch ${lease_epoch}.`,
        `  policy    ${policyId}`,
        ...(approval === null ? [] : [`  approval  by owner:${approval.owner}, for ${approval.id}`]),
        `  chain     ${chain.join(" → ")}`,
      ],
      facts: {
        allow,
        reasons: [...reasons],
        class: decision.record.class,
        enforcement,
        authorized_by: policyId,
        approval: approval && { ...approval },
        chain: [...chain],
      },
    };
  }
  if (control === undefined) return { lines: ["No decision is recorded."], facts: { allow: false } };
  const { allow, reasons, principal, chain } = control.record;
  return {
    lines: [
      allow
        ? `${printable(principal)} asked, and the control plane allowed it.`
        : `Nobody did: it was refused (${reasons.join(", ")}).`,
    ],
    facts: { allow, reasons: [...reasons], authorized_by: principal, chain: [...chain] },
  };
}

function formatLink({ name, agent_id, by, signed_at, scope, entry }: AuthorityLink): string {
  return `  ${printable(name)} (${agent_id}): ${printable(by)} at ${signed_at}, scope [${scope.join(", ")}]; entry ${entry}`;
}
