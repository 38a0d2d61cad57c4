/**
 * The properties by which events are found, each as one text: what a record adds to its event, what the event as a whole
 * says, and what a filter asks for.
 *
 * Pure; an index keeps for each term the events that have it, and an answer is the intersection.
 */
import { EVERYONE, formatJobName, type JoinedEvent, linksOf, subtreesOf } from "./join.ts";
import type { EventFilter } from "./query-index.ts";
import type { UnverifiedRecord } from "./record.ts";

/** What the guard said; null while nothing is decided. */
export type EventDecision = "allow" | "deny" | null;

/** What was decided about an event, by its joined view. */
export function decisionOf({ outcome, authorized_by: by }: JoinedEvent): EventDecision {
  if (outcome === "denied") return "deny";
  return by === "nobody" ? null : "allow";
}

/** Terms that a record adds to its event and nothing takes away. */
export function linkTermsOf(record: UnverifiedRecord): readonly string[] {
  return [
    ...linksOf(record).map((name) => `about ${name}`),
    ...subtreesOf(record).map((name) => `within ${name}`),
    ...policyNamesOf(record).map((name) => `policy ${name}`),
  ];
}

/** Terms of an event as it stands; a later record may replace them. */
export function fieldTermsOf(event: JoinedEvent): readonly string[] {
  const { agent_id: actor, owner_id: owner, action, resource, kind, outcome } = event;
  const decision = decisionOf(event);
  const terms = [`kind ${kind}`, `outcome ${outcome}`];
  if (decision !== null) terms.push(`decision ${decision}`);
  if (actor !== null) terms.push(`actor ${actor}`);
  if (owner !== null) terms.push(`owner ${owner}`);
  if (action !== null) terms.push(`action ${action}`);
  if (resource !== null) terms.push(`resource ${resource}`);
  return terms;
}

/**
 * What an event must have to match: one of each group. Time and event id are no terms.
 *
 * @returns the groups that are usually rarest first.
 */
export function termsOfFilter(filter: EventFilter): readonly (readonly string[])[] {
  const { agent, job, actor, resource, owner, subtree, policy, within, action, outcome, decision, kind } =
    filter;
  const one = (role: string, value: string | undefined) =>
    value === undefined ? [] : [[`${role} ${value}`]];
  return [
    ...one("about", job === undefined ? undefined : formatJobName(job)),
    ...one("about", agent),
    ...one("actor", actor),
    ...one("resource", resource),
    ...one("within", subtree),
    ...one("owner", owner),
    ...one("policy", policy),
    ...one("action", action),
    ...one("outcome", outcome),
    ...one("decision", decision),
    ...one("kind", kind),
    ...(within === undefined ? [] : [[`within ${within}`, `within ${EVERYONE}`]]),
  ];
}

/** A policy is asked for by its name, by its version's digest, or by both. */
function policyNamesOf({ unverified }: UnverifiedRecord): readonly string[] {
  if (unverified.kind !== "decision") return [];
  const { name, bundle_sha256: digest } = unverified.value.policy;
  return [name, digest, `${name}@${digest}`];
}
