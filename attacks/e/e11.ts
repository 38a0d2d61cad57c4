/** E11: an allow of a moment ago. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { narrow, ROW, revoke, visit } from "../support/visits.ts";

const MAX_MS = 1000;
const WARM = 5;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E11",
  title: "relies on an allow of a moment ago, after its scope was narrowed and after it was revoked",
  expected: "denied within a second: each action is decided on its own",
  weakening: "allow-is-cached",
  mayChange: ["epoch", "liveInstances", "registry", "carriedOut"],
  prepare: async (world) => {
    await world.finance();
    return { agent: await world.enrol(["read:transactions", "write:transactions"]) };
  },
  control: async (world, { agent }) => {
    expectSame(
      (await visit(world, { agent, method: "POST", body: ROW })).status,
      201,
      "a write while it is allowed",
    );
  },
  attack: async (world, { agent }) => {
    for (let time = 0; time < WARM; time += 1) {
      expectSame(
        (await visit(world, { agent, method: "POST", body: ROW })).status,
        201,
        "a write while it is allowed",
      );
      expectSame((await visit(world, { agent })).status, 200, "a read while it is allowed");
    }
    const narrowedMs = Date.now();
    expectSame(
      (await narrow(world, agent.answer.instance_id, ["read:transactions"])).status,
      200,
      "the narrowing",
    );
    const write = await visit(world, { agent, method: "POST", body: ROW });
    expectRefusal(write, { status: 403, code: "denied" }, "a write after the narrowing");
    expect(Date.now() - narrowedMs <= MAX_MS, `within a second: ${Date.now() - narrowedMs} ms`);
    expectSame((await visit(world, { agent })).status, 200, "a read after the narrowing");
    const revokedMs = Date.now();
    expectSame((await revoke(world, "agent", agent.answer.agent_id ?? "")).status, 200, "the revocation");
    expectRefusal(await visit(world, { agent }), UNPROVEN, "a read after the revocation");
    expect(Date.now() - revokedMs <= MAX_MS, `within a second: ${Date.now() - revokedMs} ms`);
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal, outcome: "denied", reason: "scope_not_covered" }, 1);
    await ledger.expect({ kind: "action", principal, outcome: "success" }, 2 * WARM + 1);
    await ledger.expect({ kind: "refuse", reason: "identity_revoked" }, 1);
  },
});
