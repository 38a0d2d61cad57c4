/** The part of `docs/scale.md` that the simulation writes, and its pictures. */
import { table } from "../markdown.ts";
import { formatBarsPicture } from "../plot.ts";
import { formatNumber } from "../report.ts";
import { createHistogram, formatHistogram } from "../revocation/statistics.ts";
import { ASSUMED, CONSTANTS, MEASURED } from "./constants.ts";
import { computeNeeds, type Needs } from "./needs.ts";
import { type Changed, compareChanges } from "./sensitivity.ts";
import { type Hops, type StopTimes, simulateStops } from "./stop.ts";

const BEGIN = "<!-- Written by ./dev bench scale; a test compares. -->";
const END = "<!-- End of what ./dev bench scale writes. -->";
const STOPS = 200;
const LABEL_WIDTH = 330;
const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"] as const;
/** From what was measured to as many as a relay may say are behind it (`docs/guides/relays.md`). */
const TREES = [
  { verifiers: 1_000, leases: 1_000 },
  { verifiers: 100_000, leases: 1_000 },
  { verifiers: 1_300_000, leases: 1_000 },
  { verifiers: 1_300_000, leases: 150 },
  { verifiers: 100_000_000, leases: 1_000 },
] as const;
/** The tree that has a picture. */
const PICTURED = 2;
const MAX_NODES = 10_000;

/** Everything that one run makes. */
export interface ScaleReport {
  readonly needs: Needs;
  readonly changes: readonly Changed[];
  readonly stops: readonly StopTimes[];
  readonly seed: number;
}

/** Runs the simulation. */
export function runScale(hops: Hops, seed: number): ScaleReport {
  return {
    needs: computeNeeds(CONSTANTS, ASSUMED),
    changes: compareChanges(),
    stops: TREES.map(({ verifiers, leases }) =>
      simulateStops(hops, {
        verifiers,
        leases,
        seed,
        stops: verifiers / leases > MAX_NODES ? STOPS / 10 : STOPS,
      }),
    ),
    seed,
  };
}

/** The document with its written part renewed. @throws Error when it has no place for it. */
export function writeInto(document: string, report: ScaleReport): string {
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`no ${BEGIN} and ${END} in the document`);
  return `${before}${BEGIN}\n\n${formatTables(report)}\n\n${END}${after}`;
}

function formatTables(report: ScaleReport): string {
  return [
    "### What went in",
    table(
      ["measured", "value", "from"],
      Object.values(MEASURED).map(({ what, value, source }) => [what, formatNumber(value), source]),
    ),
    table(["assumed", "value"], assumptions()),
    "### What comes out",
    table(["of 1.3 billion agents", "", ""], resultRows(report.needs)),
    "### One figure replaced",
    table(["", "deployments", "servers", "relays", "ledger a year"], report.changes.map(changedRow)),
    "### A stop through relays",
    `Simulated, seed ${report.seed}; milliseconds from the call to the last allow anywhere.`,
    table(
      ["verifiers in one tree", "leases each", "relays by level", "hops", "stops", "p50", "p99", "max"],
      report.stops.map((times, index) => stopRow(times, TREES[index]?.leases ?? 0)),
    ),
  ].join("\n\n");
}

function assumptions(): readonly (readonly string[])[] {
  return [
    ["agents, all live", formatNumber(ASSUMED.agents)],
    [
      "seconds between an agent's renewals (half of an hour's certificate)",
      formatNumber(ASSUMED.renewalEverySeconds),
    ],
    ["guarded calls of an agent a day, evenly over it", formatNumber(ASSUMED.callsPerAgentADay)],
    ["agents that one verifier serves", formatNumber(ASSUMED.agentsPerVerifier)],
    ["regions", formatNumber(ASSUMED.regions)],
    ["share used of what was measured as the most", String(ASSUMED.used)],
  ];
}

function resultRows(needs: Needs): readonly (readonly string[])[] {
  return [
    ["renewals; calls; ledger entries a second", rates(needs), ""],
    ["agents of one deployment", formatNumber(needs.agentsPerDeployment), `what ends it: ${needs.limit}`],
    ["deployments", formatNumber(needs.deployments), "each one database, one sequencer, one ledger"],
    ["deployments a region", formatNumber(needs.deploymentsPerRegion), ""],
    ["servers", formatNumber(needs.servers), `${needs.serversEach} a deployment, two cores each`],
    ["verifiers of one deployment", formatNumber(needs.verifiersEach), ""],
    ["relays", formatNumber(needs.relays), `${needs.relaysEach} a deployment`],
    [
      "ledger a year",
      formatBytes(needs.ledgerBytesAYear),
      `of it renewals ${formatBytes(needs.renewalBytesAYear)}`,
    ],
    ["search index a year", formatBytes(needs.indexBytesAYear), ""],
    [
      "state",
      formatBytes(needs.stateBytes),
      `${formatBytes(needs.stateBytes / needs.deployments)} a deployment`,
    ],
    ["memory of the servers for live instances", formatBytes(needs.serverResidentBytes), ""],
    ["memory of the agents' own side", formatBytes(needs.agentResidentBytes), "the customers' machines"],
  ];
}

function rates({ renewalsPerSecond, callsPerSecond, entriesPerSecond }: Needs): string {
  return [renewalsPerSecond, callsPerSecond, entriesPerSecond].map(formatNumber).join("; ");
}

function changedRow({ what, needs }: Changed): readonly string[] {
  const { deployments, servers, relays, ledgerBytesAYear } = needs;
  return [what, ...[deployments, servers, relays].map(formatNumber), formatBytes(ledgerBytesAYear)];
}

function stopRow({ verifiers, relays, hops, lastMs, summary }: StopTimes, leases: number): readonly string[] {
  const levels = relays.length === 0 ? "none" : relays.toReversed().map(formatNumber).join(" above ");
  const times = [summary.p50, summary.p99, summary.max].map((ms) => String(Math.round(ms)));
  return [
    formatNumber(verifiers),
    formatNumber(leases),
    levels,
    String(hops),
    String(lastMs.length),
    ...times,
  ];
}

/** Three digits and a decimal unit. */
export function formatBytes(bytes: number): string {
  const power = Math.min(BYTE_UNITS.length - 1, Math.max(0, Math.floor(Math.log10(bytes) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${BYTE_UNITS[power]}`;
}

/** Pictures by their file names. */
export function drawScale({ changes, stops }: ScaleReport): Readonly<Record<string, string>> {
  const pictured = stops[PICTURED];
  if (pictured === undefined) throw new Error("the pictured tree was not simulated");
  return {
    "deployments.svg": drawChanges(changes, {
      title: "Deployments for 1.3 billion agents, one figure replaced (logarithmic)",
      pick: ({ deployments }) => deployments,
      format: formatNumber,
    }),
    "ledger.svg": drawChanges(changes, {
      title: "Bytes of ledger a year for 1.3 billion agents, one figure replaced (logarithmic)",
      pick: ({ ledgerBytesAYear }) => ledgerBytesAYear,
      format: formatBytes,
    }),
    "stop.svg": formatHistogram(createHistogram(pictured.lastMs), {
      title: `Simulated: ${formatNumber(pictured.verifiers)} verifiers, ${pictured.hops} hops`,
      summary: pictured.summary,
    }),
  };
}

function drawChanges(
  changes: readonly Changed[],
  {
    title,
    pick,
    format,
  }: {
    readonly title: string;
    readonly pick: (needs: Needs) => number;
    readonly format: (value: number) => string;
  },
): string {
  const values = changes.map(({ needs }) => pick(needs));
  const low = Math.floor(Math.log10(Math.min(...values))) - 1;
  const high = Math.ceil(Math.log10(Math.max(...values)));
  const shareOf = (value: number) => (Math.log10(value) - low) / (high - low);
  const decades = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return formatBarsPicture({
    title,
    labelWidth: LABEL_WIDTH,
    rows: changes.map(({ what, needs }) => ({
      label: what,
      share: shareOf(pick(needs)),
      text: format(pick(needs)),
    })),
    ticks: decades.map((value) => ({ share: shareOf(value), text: format(value) })),
  });
}
