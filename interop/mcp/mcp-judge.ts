/**
 * MCP's own conformance suite judges the gateway: a server that is a real one behind it must look like one through it, in
 * both eras; and through a gateway where nothing was approved, none of it may be seen.
 *
 * Which scenarios do not apply is listed here with the reason, and in docs/guides/mcp-gateway.md.
 */
import type { Findings, Judge, Lab, Verdict } from "../judge.ts";
import { countVerdicts } from "../judge.ts";
import { runSuite } from "./conformance.ts";
import { GatewayLab } from "./gateway-lab.ts";
import { startEverything } from "./serve-everything.ts";

const REVISIONS = ["2026-07-28", "2025-11-25"] as const;
const SETTINGS = { client_features: ["elicitation", "sampling", "roots"] } as const;

/** Scenario, or the beginning of its name, and why it says nothing about the gateway. */
const NOT_APPLICABLE: Readonly<Record<string, string>> = {
  "tasks-": "an extension that the gateway refuses: a task outlives the call that was decided",
  "server-sse-polling": "our server behind it does not close its streams early",
  "json-schema-2020-12": "pending in the suite; our server behind it lacks some of the keywords",
};
/** Checks of scenarios that apply, which our server behind the gateway fails by itself: its SDK makes a result of them. */
const NOT_OURS: readonly string[] = [
  "sep-2575-server-rejects-undeclared-capability",
  "sep-2575-missing-capability-http-400",
];
/** What must not be seen of a server that nobody approved. */
const HIDDEN = ["tools-call-simple-text", "prompts-get-simple", "resources-read-text"] as const;
/** Fewer would mean that the suite did not run. */
const MIN_SCENARIOS = 25;

export const mcpServerJudge: Judge = { name: "@modelcontextprotocol/conformance server", run: judge };

async function judge(lab: Lab): Promise<Findings> {
  const server = await startEverything();
  const gateway = await GatewayLab.open();
  try {
    const upstream = { url: server.url, settings: SETTINGS };
    await gateway.register({ ...upstream, name: "approved" }, { isPinned: true });
    await gateway.register({ ...upstream, name: "unapproved" }, { isPinned: false });
    const verdicts: Verdict[] = [];
    for (const revision of REVISIONS) verdicts.push(...(await judgeRevision(lab, gateway, revision)));
    verdicts.push(...(await judgeHidden(lab, gateway)));
    return countVerdicts(verdicts, `${Object.keys(NOT_APPLICABLE).length} groups of scenarios do not apply`);
  } finally {
    await gateway.close();
    server.close();
  }
}

async function judgeRevision(lab: Lab, gateway: GatewayLab, revision: string): Promise<readonly Verdict[]> {
  const local = await gateway.openLocal("approved");
  try {
    const args = ["server", "--url", local.url, "--requirements", revision];
    const found = await runSuite(lab, `mcp-${revision}`, args);
    if (found.size < MIN_SCENARIOS) throw new Error(`only ${found.size} scenarios ran for ${revision}`);
    return [...found]
      .filter(([name]) => !Object.keys(NOT_APPLICABLE).some((prefix) => name.startsWith(prefix)))
      .map(([name, all]) => ({
        name,
        failed: all.filter((said) => !NOT_OURS.some((id) => said.startsWith(id))),
      }))
      .map(({ name, failed }) => ({
        name: `${revision} ${name}`,
        expected: "accept",
        isAccepted: failed.length === 0,
        said: failed.join("; "),
      }));
  } finally {
    local.close();
  }
}

async function judgeHidden(lab: Lab, gateway: GatewayLab): Promise<readonly Verdict[]> {
  const local = await gateway.openLocal("unapproved");
  try {
    const verdicts: Verdict[] = [];
    for (const name of HIDDEN) {
      const args = ["server", "--url", local.url, "--scenario", name];
      const failed = (await runSuite(lab, `mcp-hidden-${name}`, args)).get(name);
      verdicts.push({ name: `unapproved ${name}`, expected: "refuse", isAccepted: failed?.length === 0 });
    }
    return verdicts;
  } finally {
    local.close();
  }
}
