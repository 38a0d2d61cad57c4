/** P15: an identity that was stopped while its host could not hear of it. */
import { sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { registerEntry } from "../support/attested.ts";
import { ACCOUNT, follow, missingForAccounts, openHost } from "../support/host.ts";

/** How soon a node that is back finds out, on a busy machine too. */
const WITHDRAWN_MS = 12_000;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P15",
  title: "keeps its identity by a host that could not hear when it was stopped, and goes on asking there",
  expected:
    "the stop is complete without the host, which withdraws the identity when it is back; the other one stays",
  weakening: "deaf-and-glad",
  missing: missingForAccounts,
  world: {},
  mayChange: ["liveInstances", "registry", "epoch"],
  prepare: async (world) => {
    const host = await openHost(world);
    await registerEntry(world, [`unix:path:${host.bank.path}`, `unix:uid:${ACCOUNT}`]);
    const bank = follow(world, host, host.bank.path);
    const { ids = [] } = await bank.next();
    return { host, bank, id: ids[0] ?? "" };
  },
  control: async (world, { host, id }) => {
    expect(id.includes("/inst-"), "the program has its identity");
    const other = follow(world, host, host.bank.path);
    expect((await other.next()).ids?.[0]?.includes("/inst-") === true, "another process of it has its own");
  },
  attack: async (world, { host, id, bank }) => {
    process.kill(host.node.pid, "SIGSTOP");
    const body = JSON.stringify({ target: { kind: "instance", id } });
    const answer = await sendAdmin(world.server.adminSocket, {
      method: "POST",
      target: "/v1/revocations",
      body,
    }).finally(() => process.kill(host.node.pid, "SIGCONT"));
    expectSame(answer.status, 200, "the stop is complete without the host");
    const late = new Promise<{ readonly status: string }>((resolve) =>
      setTimeout(() => resolve({ status: "still served" }), WITHDRAWN_MS).unref(),
    );
    const heard = await Promise.race([bank.next(), late]);
    expectSame(heard.status, 7, "what the program hears when the host is back");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "revoke" }, 1);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
