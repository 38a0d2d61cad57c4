/** The thief of the quickstart, let loose on a directory that was stolen. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sendAdmin } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { expect, expectSame } from "../scenario.ts";
import { runProgram } from "./child.ts";
import type { World } from "./world.ts";

/** How long the thief goes on with every string on every route, after every string was tried in every role. */
const SECONDS = { some: 3, all: 600 } as const;

/**
 * Has every string, certificate and ticket of a directory tried by a process of its own that knows only addresses.
 *
 * @param pairs - of string and route: all of them, or as many as three seconds allow.
 * @throws Breach unless it found things to try, no private key, and nothing that was let in or minted.
 */
export async function expectWorthless(
  world: World,
  directory: string,
  { pairs }: { readonly pairs: keyof typeof SECONDS },
): Promise<void> {
  // A weakened server lets the first pass in already; what comes after it shows nothing more.
  const report = await raid(world, directory, SECONDS[world.weaken.length === 0 ? pairs : "some"]);
  for (const part of ["replay", "forging", "minting"]) {
    expectSame(memberOf(report, part, "successes"), [], `what the thief got by ${part}`);
  }
  expectSame(report.private_keys, 0, "private keys in what was stolen");
  expect(Number(report.strings) > 100 && Number(report.certificates) > 0, "the thief found something to try");
  expect(Number(memberOf(report, "minting", "tickets_and_grants")) > 0, "the thief found tickets to try");
  expect(Number(memberOf(report, "replay", "each_role")) > 1000, "the thief tried");
  const [tried, all] = ["each_route", "of_routes"].map((name) => memberOf(report, "replay", name));
  if (pairs === "all" && world.weaken.length === 0)
    expectSame(tried, all, "pairs of string and route that were tried");
}

async function raid(world: World, directory: string, seconds: number): Promise<Record<string, unknown>> {
  const den = mkdtempSync(join(tmpdir(), "tw-thief-"));
  try {
    const { url: main, stopUrl: stop, adminSocket } = world.server;
    const { text } = await sendAdmin(adminSocket, { target: "/v1/openapi.json" });
    const openapi = join(den, "openapi.json");
    writeFileSync(openapi, text);
    const plan = join(den, "plan.json");
    const { url: finance } = await world.finance();
    const places = { data_dir: directory, copy_dir: den, openapi, main, stop, finance };
    writeFileSync(plan, JSON.stringify({ ...places, trust_domain: TRUST_DOMAIN, seconds }));
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
