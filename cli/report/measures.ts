/**
 * What a report counts: each measure is a sentence and a test of one event. An event is counted where its own records
 * say so, and a measure that counts nothing says zero.
 */
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type { ControlKind, ControlRecord, DecisionRecord } from "@trustwarden/core/event.ts";

/** An event with the records that measures look at. */
export interface ReportEvent {
  readonly event: JoinedEvent;
  readonly decision: DecisionRecord | null;
  readonly control: ControlRecord | null;
}

interface Measure {
  readonly label: string;
  readonly counts: (event: ReportEvent) => boolean;
}

const isAction = ({ event }: ReportEvent): boolean => event.kind === "action";
const decided =
  (test: (decision: DecisionRecord) => boolean) =>
  (event: ReportEvent): boolean =>
    isAction(event) && event.decision !== null && test(event.decision);
const ended =
  (outcome: JoinedEvent["outcome"]) =>
  (event: ReportEvent): boolean =>
    isAction(event) && event.event.outcome === outcome;
const controlled =
  (kinds: readonly ControlKind[], allow: boolean | null = null) =>
  ({ control }: ReportEvent): boolean =>
    control !== null && kinds.includes(control.kind) && (allow === null || control.allow === allow);

/** By their names in `frameworks/`. */
export const MEASURES = {
  actions: { label: "actions that agents asked for, each recorded before it ran", counts: isAction },
  owned: {
    label: "of them led back to an owner over a recorded chain",
    counts: (event) => isAction(event) && event.event.owner_id !== null,
  },
  allowed: { label: "actions allowed", counts: decided(({ allow }) => allow) },
  denied: { label: "actions denied", counts: decided(({ allow }) => !allow) },
  succeeded: { label: "actions with a recorded success", counts: ended("success") },
  failed: { label: "actions with a recorded failure", counts: ended("failure") },
  aborted: { label: "actions cut short", counts: ended("aborted") },
  pending: { label: "actions without an outcome", counts: ended("pending") },
  delegated: {
    label: "actions by agents that other agents made",
    counts: decided(({ chain }) => chain.length > 2),
  },
  approved: { label: "actions that a human approved", counts: decided(({ approval }) => approval !== null) },
  answers: { label: "answers of humans to questions of the policy", counts: controlled(["approval"]) },
  classA: {
    label: "actions of the class with the strictest checks (A)",
    counts: decided((decision) => decision.class === "A"),
  },
  atGateway: {
    label: "actions decided and enforced at the gateway",
    counts: decided(({ enforcement }) => enforcement === "gateway"),
  },
  atService: {
    label: "actions enforced by the service that was called",
    counts: decided(({ enforcement }) => enforcement === "service"),
  },
  inAgent: {
    label: "actions decided by the server and left to the agent's own process",
    counts: decided(({ enforcement }) => enforcement === "self"),
  },
  ownKey: {
    label: "actions whose key was made in the agent's process",
    counts: decided(({ custody }) => custody === "agent"),
  },
  heldKey: {
    label: "actions whose key was held for the agent by another process",
    counts: decided(({ custody }) => custody !== "agent"),
  },
  attested: {
    label: "actions by agents whose platform was attested when they got their identity",
    counts: decided(({ attested }) => attested.strength !== "none"),
  },
  issued: { label: "identities issued", counts: controlled(["issue"], true) },
  renewed: { label: "identities renewed, each short-lived", counts: controlled(["renew"], true) },
  refused: {
    label: "requests refused before anybody was identified or anything was issued",
    counts: (event) => controlled(["refuse"])(event) || controlled(["issue", "renew"], false)(event),
  },
  revoked: { label: "revocations", counts: controlled(["revoke"], true) },
  narrowed: { label: "scopes narrowed", counts: controlled(["narrow"], true) },
  owners: { label: "changes of owners", counts: controlled(["owner"]) },
  entries: { label: "changes of registration entries and nodes", counts: controlled(["entry", "node"]) },
  policies: { label: "policies loaded", counts: controlled(["policy"]) },
  alarms: { label: "alarms of the running system", counts: controlled(["alarm"]) },
  authority: { label: "steps of the authority's keys", counts: controlled(["authority"]) },
  secrets: { label: "changes of brokered secrets and upstreams", counts: controlled(["secret", "upstream"]) },
  tokens: { label: "tokens issued, each bound to a key", counts: controlled(["jwt", "token", "wit"], true) },
  budgets: { label: "changes of budgets", counts: controlled(["budget"]) },
  federation: { label: "changes of relations with other trust domains", counts: controlled(["federation"]) },
  reads: { label: "times the record itself was read", counts: controlled(["read"]) },
} as const satisfies Readonly<Record<string, Measure>>;

export type MeasureName = keyof typeof MEASURES;
