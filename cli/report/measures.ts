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
/** The same where the record says one of these changes: some kinds also tell of what was asked, used or seen. */
const changed =
  (kinds: readonly ControlKind[], changes: readonly string[]) =>
  (event: ReportEvent): boolean =>
    controlled(kinds, true)(event) && changes.some((change) => event.control?.details.change === change);
const isForeign = ({ control }: ReportEvent): boolean => control?.details.via === "foreign";
/** Routes that show the record, of all that leave a `read`. */
const RECORD_ROUTES = /^\/(?:v1\/(?:events|evidence|ledger)|ledger)(?:\/|$)/;

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
  answers: {
    label: "answers of humans to questions of the policy",
    counts: changed(["approval"], ["approve", "deny"]),
  },
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
    label:
      "actions by agents whose platform was attested when they got their identity, and not by sharing an account alone",
    counts: decided(({ attested: { strength } }) => strength !== "none" && strength !== "same_uid"),
  },
  issued: {
    label: "identities issued",
    counts: (event) => controlled(["issue"], true)(event) && !isForeign(event),
  },
  renewed: {
    label: "identities renewed, each short-lived",
    counts: (event) => controlled(["renew"], true)(event) && !isForeign(event),
  },
  refused: {
    label: "refusals, each of a request or of how many requests of a flood",
    counts: (event) => controlled(["refuse"])(event) || controlled(["issue", "renew"], false)(event),
  },
  revoked: { label: "revocations", counts: controlled(["revoke"], true) },
  narrowed: { label: "scopes narrowed", counts: controlled(["narrow"], true) },
  owners: { label: "changes of owners", counts: controlled(["owner"]) },
  entries: { label: "changes of registration entries and nodes", counts: controlled(["entry", "node"]) },
  policies: { label: "policies loaded", counts: changed(["policy"], ["load"]) },
  freezes: { label: "stops of everybody, begun or ended", counts: changed(["policy"], ["freeze", "thaw"]) },
  alarms: { label: "alarms of the running system", counts: controlled(["alarm"]) },
  authority: { label: "steps of the authority's keys", counts: controlled(["authority"]) },
  secrets: {
    label: "changes of brokered secrets and upstreams",
    // Roles of databases, made and dropped for each agent, are of the same kind.
    counts: (event) =>
      controlled(["secret", "upstream"], true)(event) && event.control?.subject?.startsWith("role:") !== true,
  },
  tokens: {
    label: "tokens issued; all but JWT-SVIDs are bound to a key",
    counts: (event) =>
      controlled(["jwt", "token", "wit"], true)(event) && event.control?.details.change !== "revoke",
  },
  budgets: { label: "changes of budgets", counts: controlled(["budget"]) },
  federation: { label: "changes of relations with other trust domains", counts: controlled(["federation"]) },
  reads: {
    label: "times the record itself was read",
    counts: (event) => controlled(["read"], true)(event) && RECORD_ROUTES.test(event.control?.subject ?? ""),
  },
} as const satisfies Readonly<Record<string, Measure>>;

export type MeasureName = keyof typeof MEASURES;
