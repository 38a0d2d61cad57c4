/** What the revocation run found: a table for people, JSON and a picture for everything else. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "../report.ts";
import { createHistogram, formatHistogram, summarise } from "./statistics.ts";

const RESULTS = join(import.meta.dirname, "..", "..", ".cache", "bench");

/** One revocation, in milliseconds from the call. */
export interface Measured {
  readonly answeredMs: number;
  /** The last allow of each verifier that allowed at all. */
  readonly lastAllowsMs: readonly number[];
  readonly acked: number;
  readonly expired: number;
  /** Behind relays, as they say. */
  readonly behind: { readonly acked: number; readonly expired: number };
  /** Verifiers that allowed after the answer. */
  readonly broken: number;
}

/** Guarded visits of the whole run: allowed, and refused for any reason. */
export interface Load {
  readonly visits: number;
  readonly refusedVisits: number;
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
  readonly seconds: number;
}

/**
 * Prints the table and writes JSON and SVG.
 *
 * @returns whether the promise was kept: something was measured, and nobody allowed after the answer.
 */
export function report(run: {
  readonly machine: Machine;
  readonly sizes: Sizes;
  readonly measured: readonly Measured[];
  readonly load: Load;
  /** Of the revocations, for the rate of visits. */
  readonly seconds: number;
}): boolean {
  const { machine, sizes, measured, load } = run;
  const lastAllows = measured.map(({ lastAllowsMs }) => Math.max(0, ...lastAllowsMs));
  const times = {
    last_allow: summarise(lastAllows),
    last_allow_of_one: summarise(measured.flatMap(({ lastAllowsMs }) => lastAllowsMs)),
    answer: summarise(measured.map(({ answeredMs }) => answeredMs)),
  };
  const sum = (pick: (one: Measured) => number) => measured.reduce((all, one) => all + pick(one), 0);
  const totals = {
    acked: sum(({ acked }) => acked),
    expired: sum(({ expired }) => expired),
    behind_acked: sum(({ behind }) => behind.acked),
    behind_expired: sum(({ behind }) => behind.expired),
    broken: sum(({ broken }) => broken),
    ...load,
    visits_per_second: Math.round(load.visits / run.seconds),
  };
  const histogram = createHistogram(lastAllows);
  const json = { machine, ...sizes, ...totals, unit: "ms", ...times, histogram, revocations: measured };
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, "revocation.json"), `${JSON.stringify(json, null, 2)}\n`);
  const title = "Last allow anywhere";
  writeFileSync(
    join(RESULTS, "revocation.svg"),
    formatHistogram(histogram, { title, summary: times.last_allow }),
  );
  console.log(
    `${sizes.verifiers} verifiers in ${sizes.processes} processes, ${measured.length} revocations; ${totals.visits_per_second} guarded visits a second beside them (${load.refusedVisits} refused); ${machine.cores} cores, load ${machine.load}`,
  );
  console.table({
    "call to the last allow anywhere, ms": times.last_allow,
    "call to the last allow of one verifier, ms": times.last_allow_of_one,
    "call to the server's answer, ms": times.answer,
  });
  console.log(
    `leases that acknowledged: ${totals.acked}, ran out: ${totals.expired}; behind ${sizes.relays} relays: ${totals.behind_acked} and ${totals.behind_expired}; allows after the answer: ${totals.broken}`,
  );
  console.log("written: .cache/bench/revocation.json and .cache/bench/revocation.svg");
  return measured.length > 0 && totals.broken === 0;
}
