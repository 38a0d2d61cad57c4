/** One table for each claim: TrustWarden beside its peer or its goal, with the ratio. */
import type { ResultName } from "../keep.ts";
import { formatNumber } from "../report.ts";
import type { Found, Kept, Results } from "./results.ts";

/** A table, not yet written. */
export interface Claim {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** One section of the report. */
export interface Section {
  readonly name: ResultName;
  readonly title: string;
  /** How it is made. */
  readonly command: string;
  /** Missing when it was not run. */
  readonly made: { readonly kept: Kept; readonly claim: Claim } | undefined;
}

/** Claims that no benchmark here compares with the peer that the issue names. */
export const WITHOUT_PEER: readonly string[] = [
  "A server of secrets (Vault, OpenBao): no benchmark here asks one; `./dev interop --only openbao` runs a real OpenBao, for what it answers and not for how fast.",
  "What a call costs (`./dev bench cost`) and Python (`./dev bench python`) print, and keep no result.",
];

/** Every section, in the order of the report. */
export function sectionsOf(found: Found): readonly Section[] {
  const section = <Name extends ResultName>(
    name: Name,
    title: string,
    claimOf: (result: Results[Name]) => Claim,
  ): Section => {
    const result = found[name];
    const command = name === "report" ? "./dev bench" : `./dev bench ${name}`;
    const made = result === undefined ? undefined : { kept: result, claim: claimOf(result) };
    return { name, title, command, made };
  };
  return [
    section("report", "Single operations, beside the one raw operation of each", operations),
    section("spire", "Identities, beside SPIRE", besideSpire),
    section("tessera", "The ledger, beside Tessera", besideTessera),
    section("opa", "A decision that is proven and recorded, beside an answer of OPA's server", besideOpa),
    section("gateway", "The gateway, beside no gateway, LiteLLM and Portkey's", besideGateways),
    section("revocation", "From the call that stops to the last allow", revocation),
    section("overload", "Asked for three times as much", overload),
    section("outcomes", "Outcomes brought over HTTP until they are durable", outcomes),
    section("questions", "Questions to the ledger", questions),
    section("size", "Many agents on one machine", size),
    section("restore", "A backup, and a server again", restore),
    section("console", "The console over many agents", consolePages),
  ];
}

function operations({ results }: Results["report"]): Claim {
  return {
    head: ["", "TrustWarden", "p50", "p99", "raw", "raw p50", "ratio", "goal"],
    rows: results.map(({ id, rate, p50, p99, unit, reference, ratio, goal }) => [
      id,
      perSecond(rate),
      `${formatNumber(p50)} ${unit}`,
      `${formatNumber(p99)} ${unit}`,
      perSecond(reference.rate),
      `${formatNumber(reference.p50)} ${unit}`,
      ratio.toFixed(3),
      goal === null
        ? "none"
        : `${goal.aim}: ${goal.met ? "met" : "**missed**"} (${formatNumber(goal.actual)})`,
    ]),
  };
}

function besideSpire({ figures }: Results["spire"]): Claim {
  const rows = figures.flatMap(({ what, unit, ours, theirs }) =>
    Object.keys(ours)
      .filter((name) => name !== "count")
      .map((name) => {
        const [own = Number.NaN, other = Number.NaN] = [ours[name], theirs[name]];
        return [`${what}, ${name} (${unit})`, formatNumber(own), formatNumber(other), ratioOf(own, other)];
      }),
  );
  return { head: ["", "TrustWarden", "SPIRE", "ratio"], rows };
}

function besideTessera({ rows }: Results["tessera"]): Claim {
  return {
    head: ["", "TrustWarden", "p50 / p99", "Tessera", "p50 / p99", "ratio of rates"],
    rows: rows.map(({ mode, ours, tessera, ratio }) => [
      mode,
      perSecond(ours.rate),
      `${formatNumber(ours.p50)} / ${formatNumber(ours.p99)} ms`,
      perSecond(tessera.rate),
      `${formatNumber(tessera.p50)} / ${formatNumber(tessera.p99)} ms`,
      ratio.toFixed(2),
    ]),
  };
}

function besideOpa({ rows }: Results["opa"]): Claim {
  return {
    head: ["asked at once", "TrustWarden", "p50 / p99 of all", "OPA", "p50 / p99 of all", "ratio of rates"],
    rows: rows.map(({ at_once, ours, opa, ratio }) => [
      String(at_once),
      perSecond(ours.rate),
      `${formatNumber(ours.p50)} / ${formatNumber(ours.p99)} ms`,
      perSecond(opa.rate),
      `${formatNumber(opa.p50)} / ${formatNumber(opa.p99)} ms`,
      ratio.toFixed(3),
    ]),
  };
}

/** By their names in the results; those that were not run are left out. */
const GATEWAY_PEERS: Readonly<Record<string, string>> = {
  direct: "straight to the model",
  litellm: "LiteLLM",
  portkey: "Portkey",
};

function besideGateways({ results }: Results["gateway"]): Claim {
  const own = results.filter(({ target }) => target === "trustwarden");
  const peers = Object.keys(GATEWAY_PEERS).filter((name) => results.some(({ target }) => target === name));
  const rows = own.map((ours) => {
    const beside = peers.map((name) =>
      results.find(({ target, form, rate }) => target === name && form === ours.form && rate === ours.rate),
    );
    return [
      `${ours.form}, ${formatNumber(ours.rate)}/s asked`,
      ...[ours, ...beside].map(gatewayCell),
      ...beside.map((peer) => (peer === undefined ? "not run" : ratioOf(ours.achieved, peer.achieved))),
    ];
  });
  const heads = peers.map((name) => GATEWAY_PEERS[name] ?? name);
  return {
    head: ["got, p50 / p99", "TrustWarden", ...heads, ...heads.map((name) => `ratio to ${name}`)],
    rows,
  };
}

function gatewayCell(row: Results["gateway"]["results"][number] | undefined): string {
  if (row === undefined) return "not run";
  const refused = row.refused === undefined || row.refused === 0 ? "" : `, ${row.refused} refused`;
  return `${perSecond(row.achieved)}, ${formatNumber(row.p50)} / ${formatNumber(row.p99)} ms${refused}`;
}

function revocation(result: Results["revocation"]): Claim {
  const { verifiers, processes, relays, revokes, visits_per_second, broken, last_allow, answer } = result;
  const times = ({ p50, p99, max }: typeof answer) => [p50, p99, max].map((ms) => `${formatNumber(ms)} ms`);
  const asked = `${formatNumber(verifiers)} verifiers in ${processes} processes behind ${relays} relays, ${revokes} stops, ${visits_per_second} guarded visits/s beside them`;
  return {
    head: [asked, "p50", "p99", "max"],
    rows: [
      ["call to the last allow anywhere (bar for 1,000: p99 400 ms, max 1 s)", ...times(last_allow)],
      ["call to the server's answer", ...times(answer)],
      [`verifiers that allowed after the answer: ${broken}`, "", "", ""],
    ],
  };
}

function overload({ peakPerSecond, overload: over, flood }: Results["overload"]): Claim {
  const row = (what: string, { goodPerSecond, ofPeak, stops }: typeof over) => [
    what,
    perSecond(goodPerSecond),
    ofPeak.toFixed(2),
    `${formatNumber(stops.p50Ms)} / ${formatNumber(stops.p99Ms)} ms (${stops.count})`,
  ];
  return {
    head: ["", "good answers", "of the peak (goal 0.8)", "stops beside it, p50 / p99"],
    rows: [
      ["peak", perSecond(peakPerSecond), "1", ""],
      row("three times the peak, ten owners", over),
      row("one owner at fifty times its share", flood),
      ["the others' least share of what they asked then", flood.worstOfTheModest.toFixed(2), "", ""],
    ],
  };
}

function outcomes({ offeredPerSecond, connections, rounds }: Results["outcomes"]): Claim {
  const over = `${formatNumber(offeredPerSecond)}/s offered over ${connections} connection(s)`;
  return {
    head: [over, "came", "p50", "p99 (goal 100 ms)", "the server's processor time of one"],
    rows: rounds.map(({ perSecond: came, p50Ms, p99Ms, cpuUsEach }, index) => [
      `round ${index + 1}`,
      perSecond(came),
      `${formatNumber(p50Ms)} ms`,
      `${formatNumber(p99Ms)} ms`,
      `${formatNumber(cpuUsEach)} us`,
    ]),
  };
}

function questions({ events, questions: asked }: Results["questions"]): Claim {
  return {
    head: [`a page of 50 of ${formatNumber(events)} events`, "p50", "p95"],
    rows: asked.map(({ name, p50_ms, p95_ms }) => [
      name,
      `${formatNumber(p50_ms)} ms`,
      `${formatNumber(p95_ms)} ms`,
    ]),
  };
}

function size({ agents, rss_mib, started, renewals, stops }: Results["size"]): Claim {
  return {
    head: [`${formatNumber(agents)} agents`, "measured", "goal at 1.5 million"],
    rows: [
      ["start to listening", `${formatNumber(started.listening_seconds)} s`, "3 s"],
      [
        "first durable command after it",
        `${formatNumber(started.first_issue_ms)} ms`,
        "10 s after the start",
      ],
      ["renewals", perSecond(renewals.per_second), "833/s"],
      ["processor time of the server for one", `${formatNumber(renewals.server_cpu_ms_each)} ms`, "1.2 ms"],
      ["resident memory at the end", `${formatNumber(rss_mib)} MiB`, "1.2 GiB"],
      ...stops.map(({ descendants, ms }) => [
        `stop of ${formatNumber(descendants)} descendants`,
        `${formatNumber(ms)} ms`,
        "1 s for 10,000",
      ]),
    ],
  };
}

function restore({ agents, bytes, ...found }: Results["restore"]): Claim {
  const { backup, restore: back, started, rto_seconds: rto } = found;
  const rows = [
    ["backup, read again", backup],
    ["restore", back],
    ["start on it to listening", started],
  ] as const;
  return {
    head: [`${formatNumber(agents)} agents, ${formatNumber(bytes / 1e9)} GB`, "on the clock", "processor"],
    rows: [
      ...rows.map(([what, { seconds, cpu_seconds: cpu }]) => [
        what,
        `${formatNumber(seconds)} s`,
        `${formatNumber(cpu)} s`,
      ]),
      ["restore and start (goal 300 s at 1.5 million)", `${formatNumber(rto)} s`, ""],
    ],
  };
}

function consolePages({ agents, first_paint: paint, live }: Results["console"]): Claim {
  return {
    head: [`${formatNumber(agents)} agents`, "measured", "goal"],
    rows: [
      ["first lines of the agents page, median", `${formatNumber(paint.median_ms)} ms`, "1,500 ms"],
      ["the slowest of them", `${formatNumber(paint.worst_ms)} ms`, "none"],
      ["longest task of the live view at 1,000 decisions/s", `${formatNumber(live.longest_ms)} ms`, "50 ms"],
      ["its frames", perSecond(live.frames_a_second), "none"],
      [
        "late frames of it, and of an empty page before",
        `${formatNumber(live.late_frames)}, ${formatNumber(live.late_frames_idle)}`,
        "no more than the empty page",
      ],
    ],
  };
}

function perSecond(rate: number): string {
  return `${formatNumber(rate)}/s`;
}

/** Ours over theirs, whatever is better. */
function ratioOf(ours: number, theirs: number): string {
  return Number.isFinite(ours / theirs) ? (ours / theirs).toPrecision(3) : "none";
}
