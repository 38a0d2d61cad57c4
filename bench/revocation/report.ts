/** What the revocation run found: a table for people, JSON and a picture for everything else. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { keepResult, RESULTS } from "../keep.ts";
import { describeVersions } from "../machine.ts";
import type { Machine } from "../report.ts";
import type { Fault } from "./faults.ts";
import { formatSpent, type LeaseCosts, type Spent } from "./processors.ts";
import { createHistogram, formatHistogram, summarise } from "./statistics.ts";

/** What is promised of a verifier that hears nothing. */
const MAX_CUT_OFF_MS = 1_000;

/** One revocation, in milliseconds from the call. */
export interface Measured {
  readonly answeredMs: number;
  /** The last allow of each verifier that allowed at all: no later than its next check, which refused. */
  readonly lastAllowsMs: readonly number[];
  readonly acked: number;
  readonly expired: number;
  /** Behind relays, as they say. */
  readonly behind: { readonly acked: number; readonly expired: number };
  /** Verifiers that allowed after the answer. */
  readonly broken: number;
  /** Verifiers that still allowed shortly before the call: the others had no lease then. */
  readonly serving: number;
  /** Of each verifier that was cut off: from the cut to its last allow. */
  readonly cutOffMs?: readonly number[];
  /** From the end of the cut until every verifier had a lease again. */
  readonly recoveredMs?: number;
}

/** Guarded visits of the whole run: allowed, and refused for any reason. */
export interface Load {
  readonly visits: number;
  readonly refusedVisits: number;
  /** Of the verifiers' processes, visits included. */
  readonly processorMs: number;
}

/** How much was asked for. */
export interface Sizes {
  readonly verifiers: number;
  readonly revokes: number;
  readonly processes: number;
  /** Between the server and the verifiers; 0 for none. */
  readonly relays: number;
  readonly leasesEach: number;
  readonly watchMs: number;
  readonly pauseMs: number;
  readonly beatMs: number;
  /** 0 for as fast as it goes. */
  readonly openPerSecond: number;
  readonly seconds: number;
}

/**
 * Prints the table and writes JSON and SVG.
 *
 * @returns whether the promise was kept: something was measured, nobody allowed after the answer, and nobody who was cut
 *   off went on for more than a second.
 */
export function report(run: {
  readonly machine: Machine;
  readonly sizes: Sizes;
  readonly fault: Fault;
  readonly measured: readonly Measured[];
  readonly load: Load;
  /** Of the revocations, for the rate of visits. */
  readonly seconds: number;
  /** What a lease costs, and who had the processors during the revocations. */
  readonly use: { readonly costs: LeaseCosts; readonly stopping: Spent };
}): boolean {
  const { machine, sizes, fault, measured, load, use } = run;
  const lastAllows = measured.map(({ lastAllowsMs }) => Math.max(0, ...lastAllowsMs));
  const times = {
    last_allow: summarise(lastAllows),
    last_allow_of_one: summarise(measured.flatMap(({ lastAllowsMs }) => lastAllowsMs)),
    answer: summarise(measured.map(({ answeredMs }) => answeredMs)),
  };
  const faults = summariseFaults(fault, measured);
  const sum = (pick: (one: Measured) => number) => measured.reduce((all, one) => all + pick(one), 0);
  const totals = {
    acked: sum(({ acked }) => acked),
    expired: sum(({ expired }) => expired),
    behind_acked: sum(({ behind }) => behind.acked),
    behind_expired: sum(({ behind }) => behind.expired),
    broken: sum(({ broken }) => broken),
    ...load,
    least_serving: Math.min(...measured.map(({ serving }) => serving)),
    visits_per_second: Math.round(load.visits / run.seconds),
    ...use,
  };
  const histogram = createHistogram(lastAllows);
  const json = {
    machine,
    versions: describeVersions(),
    fault,
    ...sizes,
    ...totals,
    unit: "ms",
    ...times,
    ...faults,
    histogram,
    revocations: measured,
  };
  keepResult("revocation", json);
  const title = "Last allow anywhere";
  writeFileSync(
    join(RESULTS, "revocation.svg"),
    formatHistogram(histogram, { title, summary: times.last_allow }),
  );
  console.log(
    `${sizes.verifiers} verifiers in ${sizes.processes} processes, ${measured.length} revocations; ${totals.visits_per_second} guarded visits a second beside them (${load.refusedVisits} refused); ${machine.cores} cores, load ${machine.load}; at each call at least ${totals.least_serving} verifiers served`,
  );
  console.table({
    "call to the last allow anywhere, ms": times.last_allow,
    "call to the last allow of one verifier, ms": times.last_allow_of_one,
    "call to the server's answer, ms": times.answer,
    ...("cut_off" in faults ? { "cut off to the last allow, ms": faults.cut_off } : {}),
    ...("recovered" in faults ? { "healed to a lease everywhere, ms": faults.recovered } : {}),
  });
  console.log(
    `leases that acknowledged: ${totals.acked}, ran out: ${totals.expired}; behind ${sizes.relays} relays: ${totals.behind_acked} and ${totals.behind_expired}; allows after the answer: ${totals.broken}`,
  );
  const { opened_ms, beat_us } = use.costs;
  console.log(
    `processor: ${opened_ms} ms to open a lease, at both ends; ${beat_us.giver} us a beat at whoever gives the lease, ${beat_us.verifier} us at the verifier; during the revocations ${formatSpent(use.stopping)}`,
  );
  console.log("written: .cache/bench/revocation.json and .cache/bench/revocation.svg");
  return measured.length > 0 && totals.broken === 0 && faults.isKept;
}

/** A fault that cut nobody off although it should have is a run that looked at nothing. */
function summariseFaults(fault: Fault, measured: readonly Measured[]) {
  if (fault.kind !== "cut" && fault.kind !== "stop") return { isKept: true };
  const cut_off = summarise(measured.flatMap(({ cutOffMs = [] }) => cutOffMs));
  const recovered = summarise(measured.flatMap(({ recoveredMs = [] }) => recoveredMs));
  return { cut_off, recovered, isKept: cut_off.max <= MAX_CUT_OFF_MS };
}
