/** D1: a stolen data directory. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sendAdmin } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { runProgram } from "../support/child.ts";
import { visit } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** How long the thief goes on with the rarer combinations, after every string was tried in every role. */
const SECONDS = 3;

/** The thief of the quickstart, as a process of its own that knows only addresses. */
async function raid(world: World): Promise<Record<string, unknown>> {
  const den = mkdtempSync(join(tmpdir(), "tw-thief-"));
  try {
    const { url: main, stopUrl: stop, adminSocket } = world.server;
    const { text } = await sendAdmin(adminSocket, { target: "/v1/openapi.json" });
    const openapi = join(den, "openapi.json");
    writeFileSync(openapi, text);
    const plan = join(den, "plan.json");
    const { url: finance } = await world.finance();
    const places = { data_dir: world.home.dataDir, copy_dir: den, openapi, main, stop, finance };
    writeFileSync(plan, JSON.stringify({ ...places, trust_domain: TRUST_DOMAIN, seconds: SECONDS }));
    const { exitCode, output } = await runProgram({ args: ["examples/quickstart/thief.ts", plan] });
    if (exitCode !== 0) throw new Error(`the thief broke down: ${output.slice(-2000)}`);
    return JSON.parse(output.slice(output.indexOf('{"files"')));
  } finally {
    rmSync(den, { recursive: true, force: true });
  }
}

function memberOf(report: unknown, ...names: readonly string[]): unknown {
  let value = report;
  for (const name of names) value = new Map<string, unknown>(Object.entries(value ?? {})).get(name);
  return value;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D1",
  title:
    "copies the whole data directory; replays every string, uses every key and certificate, mints with every ticket",
  expected: "no authenticated answer, nothing minted, no usable key",
  weakening: "enrolment-used-again",
  world: {},
  prepare: async (world) => {
    await world.finance();
    const agent = await world.enrol(["read:transactions", "write:transactions"]);
    await world.spawn(agent, ["read:transactions"]);
    return { agent };
  },
  control: async (world, { agent }) => {
    expectSame((await visit(world, { agent })).status, 200, "the rightful agent reads");
  },
  attack: async (world) => {
    const report = await raid(world);
    for (const part of ["replay", "forging", "minting"]) {
      expectSame(memberOf(report, part, "successes"), [], `what the thief got by ${part}`);
    }
    expectSame(report.private_keys, 0, "private keys in the data directory");
    expect(
      Number(report.strings) > 100 && Number(report.certificates) > 0,
      "the thief found something to try",
    );
    expect(Number(memberOf(report, "minting", "tickets_and_grants")) > 0, "the thief found tickets to try");
    expect(Number(memberOf(report, "replay", "each_role")) > 1000, "the thief tried");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse" }, { atLeast: 50 });
    await ledger.expect({ kind: "refuse", reason: "rate_limited" }, { atLeast: 1 });
    await ledger.expect({ kind: "issue" }, 0);
  },
});
