/**
 * What a server counts and measures while it works, each figure once.
 *
 * Nothing here names an agent, an owner or a place: labels are classes, steps, codes and kinds from closed lists. Who
 * did what is in the ledger, where only those may read it who may.
 */
import { Counter, type Family, Histogram } from "./exposition.ts";
import { CLASSES, CODES, COMMANDS, EFFECTS, PLANES, REASONS, RESULTS, STEPS, TARGETS } from "./labels.ts";

/** From a tenth of a millisecond, which a decision takes, to what a person would call broken. */
const SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;
/** Around what is promised of a stop: 400 ms at the 99th percentile, 700 ms of a lease, one second. */
const STOP_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.7, 0.85, 1, 2.5, 5] as const;
/** How the requests of a row end. */
const ENDS = ["answered", "refused", "failed"] as const;
const LEASES = ["acked", "expired"] as const;
const LEVELS = ["warn", "error"] as const;

export type Figures = ReturnType<typeof createFigures>;

/** @param routes - names of the rows of the route table. */
export function createFigures(routes: readonly string[]) {
  return {
    decisions: new Counter(
      { name: "trustwarden_decisions_total", help: "Decisions, by where they bind, class and answer." },
      { plane: PLANES, class: CLASSES, effect: EFFECTS },
    ),
    reasons: new Counter(
      {
        name: "trustwarden_decision_reasons_total",
        help: "Reasons against what was asked; a decision may have several. Those of custom policies are other.",
      },
      { reason: REASONS },
    ),
    steps: new Histogram(
      { name: "trustwarden_path_step_seconds", help: "Time in each step of the path.", bounds: SECONDS },
      { plane: PLANES, step: STEPS },
    ),
    requests: new Counter(
      { name: "trustwarden_requests_total", help: "Requests by row of the route table and how they ended." },
      { route: routes, end: ENDS },
    ),
    refusals: new Counter(
      {
        name: "trustwarden_refusals_total",
        help: "Requests and calls that were refused or failed, by code.",
      },
      { code: CODES },
    ),
    troubles: new Counter(
      { name: "trustwarden_log_events_total", help: "Warnings and errors in the server's log, by code." },
      { level: LEVELS, code: CODES },
    ),
    commands: new Counter(
      {
        name: "trustwarden_commands_total",
        help: "Commands of the state store, such as issue, renew and revoke.",
      },
      { command: COMMANDS, result: RESULTS },
    ),
    commandSeconds: new Histogram(
      {
        name: "trustwarden_command_seconds",
        help: "Time from handing a command to the writer to its commit.",
        bounds: SECONDS,
      },
      {},
    ),
    pushes: new Histogram(
      {
        name: "trustwarden_push_seconds",
        help: "Time until every lease has acknowledged a push of the revocation feed, or has run out.",
        bounds: STOP_SECONDS,
      },
      { target: TARGETS },
    ),
    pushedLeases: new Counter(
      {
        name: "trustwarden_pushed_leases_total",
        help: "Leases that acknowledged a push, and leases that ran out instead.",
      },
      { result: LEASES },
    ),
    appends: new Histogram(
      {
        name: "trustwarden_ledger_append_seconds",
        help: "Time until entries are durable in the ledger and have their place.",
        bounds: SECONDS,
      },
      {},
    ),
    appended: new Counter(
      { name: "trustwarden_ledger_appended_total", help: "Entries appended since the start." },
      {},
    ),
    failedAppends: new Counter(
      { name: "trustwarden_ledger_append_failures_total", help: "Appends that the ledger refused." },
      {},
    ),
    secretUses: new Counter(
      { name: "trustwarden_secret_uses_total", help: "Uses of upstream secrets by the broker, by result." },
      { result: RESULTS },
    ),
  };
}

/** The families of the figures, in their order. */
export function familiesOf(figures: Figures): readonly Family[] {
  return Object.values(figures);
}
