/** I10: a full spool while the ledger takes no outcomes. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { openEvidence } from "../support/evidence.ts";
import { within } from "../support/model.ts";
import { ROW, visit } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** What a spool of `small-spool` holds. */
const PLACES = 4;
/** Tries with a full spool, of each kind. */
const TRIES = 5;
/** The spool tries again every ten seconds at the latest; this is for a machine that is ten times slower. */
const REPORTED_WITHIN_MS = 90_000;

interface Scene {
  readonly victim: World;
  /** While it is there, the ledger takes no outcomes. */
  readonly outage: string;
  readonly agent: Awaited<ReturnType<World["enrol"]>>;
}

async function act(
  { victim, agent }: Pick<Scene, "victim" | "agent">,
  method: "GET" | "POST" | "DELETE",
): Promise<Awaited<ReturnType<typeof visit>>> {
  const target = method === "DELETE" ? "/transactions/1" : "/transactions";
  return visit(victim, { agent, method, target, ...(method === "POST" ? { body: ROW } : {}) });
}

/** Actions whose end the ledger knows, and those that it still waits for. */
async function endsOf({ server }: World): Promise<{ readonly ended: number; readonly open: number }> {
  const actions = await openEvidence(server.adminSocket, 0).matching({ kind: "action" });
  const open = actions.filter(({ outcome }) => outcome === "pending").length;
  return { ended: actions.length - open, open };
}

/** Played by the runner. */
export const scenario = defineScenario<Scene>({
  id: "I10",
  title: "acts on while the ledger takes no outcomes, until the service's spool is full, and further",
  expected:
    "with a full spool nothing is done, high-risk actions least of all; afterwards each act has its outcome",
  weakening: "spool-without-end",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const outage = join(world.home.dataDir, "..", "outage");
    const victim = await world.another({ env: { TW_OUTAGE: outage } }, ["no-outcomes", "small-spool"]);
    await victim.finance();
    const agent = await victim.enrol(["read:transactions", "write:transactions", "delete:transactions"]);
    return { victim, outage, agent };
  },
  control: async (_world, scene) => {
    for (let done = 0; done < 2 * PLACES; done += 1) {
      expectSame((await act(scene, "POST")).status, 201, "a write while outcomes are taken");
      const isReported = await within(
        REPORTED_WITHIN_MS,
        async () => (await endsOf(scene.victim)).open === 0,
      );
      if (!isReported) throw new Error("an outcome was not reported although the ledger took it");
    }
  },
  attack: async (_world, scene) => {
    const { victim, outage } = scene;
    const before = victim.carriedOut();
    writeFileSync(outage, "");
    for (let done = 0; done < PLACES; done += 1) {
      expectSame((await act(scene, "POST")).status, 201, "a write while there is room for its outcome");
    }
    for (const method of ["POST", "DELETE", "GET"] as const) {
      for (let tried = 0; tried < TRIES; tried += 1) {
        const answer = await act(scene, method);
        const refusal = { status: 503, code: "ledger_unavailable" };
        expectRefusal(answer, refusal, `${method} when there is no room for its outcome`);
      }
    }
    expectSame(victim.carriedOut() - before, PLACES, "what was done in the outage");
    expectSame((await endsOf(victim)).open, PLACES, "acts whose end the ledger waits for");
    rmSync(outage);
    const isReported = await within(REPORTED_WITHIN_MS, async () => (await endsOf(victim)).open === 0);
    expect(isReported, "no outcome was dropped: each act of the outage has its end in the ledger");
    expectSame((await act(scene, "POST")).status, 201, "a write after the outage");
  },
  evidence: async (ledger, { victim, agent }) => {
    const { adminSocket } = victim.server;
    const written = { kind: "action", principal: agent.answer.spiffe_id, outcome: "success" } as const;
    await openEvidence(adminSocket, 0).expect(written, { atLeast: 3 * PLACES });
    await ledger.expectNothing();
  },
});
