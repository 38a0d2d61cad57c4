/**
 * J10: two stops that overlap. Each says from when on an agent's tickets count again: those that are signed after it.
 * Whichever comes second, and however wide it is, the later of the two instants holds.
 */
import { setTimeout } from "node:timers/promises";
import { ticketOf } from "../../test/support/actors.ts";
import { sendAdmin } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { enrolWith, revoke } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Tickets and stops count in whole seconds, so what comes after must be of a later one. */
async function nextSecond(): Promise<void> {
  await setTimeout(1_005 - (Date.now() % 1000));
}

async function stopEverything(world: World): Promise<void> {
  const body = JSON.stringify({ target: { kind: "everything", id: "*" } });
  const target = "/v1/revocations";
  const stopped = await sendAdmin(world.server.adminSocket, { method: "POST", target, body });
  expectSame(stopped.status, 200, "everything is stopped");
}

/** Signs a ticket for the agent of that name now, to be used whenever. */
async function keepTicket(world: World, name: string): Promise<() => ReturnType<typeof enrolWith>> {
  const ticket = ticketOf(await world.owner(), { name, scope: ["read:transactions"] });
  return () => enrolWith(world, ticket, { signer: createTestSigner(), from: world.source() });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J10",
  title: "keeps a ticket of between two stops that overlap, narrow then wide and wide then narrow",
  expected: "the stricter stop holds: neither ticket brings the agent back",
  weakening: "first-stop-holds",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const name = world.name("stopped");
    const { answer } = await world.enrol(["read:transactions"], { name });
    const other = world.name("bystander");
    await world.enrol(["read:transactions"], { name: other });
    return { name, other, agentId: String(answer.agent_id) };
  },
  control: async (world, { name, agentId }) => {
    const early = await keepTicket(world, name);
    expectSame((await revoke(world, "agent", agentId)).status, 200, "the narrow stop");
    expectRefusal(await early(), UNPROVEN, "a ticket that is not of later than the stop");
    await nextSecond();
    expectSame((await (await keepTicket(world, name))()).status, 200, "a ticket of after the only stop");
  },
  attack: async (world, { name, other, agentId }) => {
    const betweenNarrowAndWide = await keepTicket(world, name);
    await nextSecond();
    await stopEverything(world);
    expectRefusal(await betweenNarrowAndWide(), UNPROVEN, "a ticket of before the wide stop");
    await nextSecond();
    const betweenWideAndNarrow = await keepTicket(world, name);
    const ofBystander = await keepTicket(world, other);
    await nextSecond();
    expectSame((await revoke(world, "agent", agentId)).status, 200, "the narrow stop again");
    expectRefusal(await betweenWideAndNarrow(), UNPROVEN, "a ticket of before the narrow stop");
    expectSame((await ofBystander()).status, 200, "a ticket of somebody else, of the same moment");
  },
  evidence: async (ledger, { agentId }) => {
    await ledger.expect({ kind: "revoke", outcome: "success" }, 2);
    await ledger.expect({ kind: "refuse", reason: "identity_revoked" }, 2);
    const [, narrow] = await ledger.matching({ kind: "revoke" });
    expectSame(narrow?.resource, agentId, "what the second stop was about");
  },
});
