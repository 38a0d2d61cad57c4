/** C7: the revocation of a large family. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { TestInstance } from "../../test/support/actors.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { UNPROVEN } from "../support/client.ts";
import { callAsAgent, revoke, visit } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const DESCENDANTS = 10_000;
/** Of them, so many are whole agents, enrolled over the network, that try to go on. */
const REAL = 24;
const MAX_MS = 1000;

const ulid = (): string => formatUlid(Date.now(), (length) => new Uint8Array(randomBytes(length)));

/**
 * Rows of further descendants, 100 branches of nearly 100 each, as the server's own commands would have written them:
 * enrolling 10,000 agents over the network takes minutes, and revoking them is what is shown here.
 */
function seedDescendants(dataDir: string, parent: TestInstance, count: number): void {
  const database = new DatabaseSync(join(dataDir, "state.db"));
  const agents = database.prepare(
    "INSERT INTO agents (agent_id, path, name, owner_id, parent_agent_id, created_at, is_revoked) VALUES (?, ?, ?, ?, ?, ?, 0)",
  );
  const instances = database.prepare(
    `INSERT INTO instances (instance_id, kind, spiffe_id, agent_id, owner_id, parent_instance_id, path, name, scope,
       depth, fan_out, budget, custody, created_at, expires_at)
     VALUES (?, 'agent', ?, ?, ?, ?, ?, ?, 'read:transactions', 9, 999, NULL, 'agent', ?, ?)`,
  );
  const { owner_id: owner, path, agent_id: agentId, instance_id: instanceId } = parent.answer;
  const now = Math.floor(Date.now() / 1000);
  database.exec("BEGIN IMMEDIATE");
  let above = { agentId, instanceId };
  for (let made = 0; made < count; made += 1) {
    const own = { agentId: `agt_${ulid()}`, instanceId: `inst-${ulid()}` };
    const name = `seeded-${made}`;
    const parentOf = made % 100 === 0 ? { agentId, instanceId } : above;
    agents.run(own.agentId, path, name, owner, parentOf.agentId, now);
    const spiffeId = `spiffe://${TRUST_DOMAIN}/${path}/${name}/${own.instanceId}`;
    instances.run(
      own.instanceId,
      spiffeId,
      own.agentId,
      owner,
      parentOf.instanceId,
      path,
      name,
      now,
      now + 3000,
    );
    if (made % 100 === 0) above = own;
  }
  database.exec("COMMIT");
  database.close();
}

/** Children, grandchildren and great-grandchildren of one agent. */
async function enrolFamily(world: World, root: TestInstance): Promise<readonly TestInstance[]> {
  const family: TestInstance[] = [];
  const scopes = [["read:transactions", "write:reports"], ["read:transactions"], ["read:transactions:own"]];
  for (let branch = 0; branch < REAL / scopes.length; branch += 1) {
    let parent = root;
    for (const [depth, scope] of scopes.entries()) {
      parent = await world.spawn(parent, scope, { limits: { depth: 2 - depth, fan_out: 8 } });
      family.push(parent);
    }
  }
  return family;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C7",
  title: `${DESCENDANTS.toLocaleString("en")} descendants go on after the agent at their root is revoked`,
  expected: `all are denied within ${MAX_MS} ms, in every generation`,
  weakening: "descendants-live-on",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry", "carriedOut"],
  prepare: async (world) => {
    const root = await world.enrol(["read:transactions", "write:reports", "read:logs"]);
    const bystander = await world.enrol(["read:transactions"]);
    const family = await enrolFamily(world, root);
    // A server that ends in order seals its state against just this.
    await world.child.kill();
    seedDescendants(world.home.dataDir, root, DESCENDANTS - family.length);
    await world.start();
    await world.finance();
    return { root, bystander, family };
  },
  control: async (world, { family }) => {
    for (const agent of family.slice(0, 2))
      expectSame((await visit(world, { agent })).status, 200, "a live descendant");
  },
  attack: async (world, { root, family, bystander }) => {
    const startedMs = Date.now();
    const answer = await revoke(world, "instance", root.answer.instance_id);
    const elapsedMs = Date.now() - startedMs;
    expectSame(answer.status, 200, "the owner revokes the root");
    expect(elapsedMs <= MAX_MS, `the stop is certain within a second, and not after ${elapsedMs} ms`);
    expectSame(JSON.parse(answer.text).instances, DESCENDANTS + 1, "instances that died");
    for (const agent of [root, ...family]) {
      const { status } = await visit(world, { agent });
      expect(status === 401, `a visit of a descendant is refused, and not ${status}`);
      const read = await callAsAgent(world, agent, { target: "/v1/events", action: "read:ledger" });
      expectSame(read.status, UNPROVEN.status, "a descendant at the server");
    }
    expectSame(
      (await visit(world, { agent: bystander })).status,
      200,
      "a bystander of the same owner goes on",
    );
  },
  evidence: async (ledger, { root }) => {
    const [revoked] = await ledger.expect(
      { kind: "revoke", principal: /^owner:own_/, outcome: "success" },
      1,
    );
    expectSame(revoked?.resource, root.answer.spiffe_id, "what was revoked");
    const allowed = await ledger.matching({ kind: "action", outcome: "success" });
    expectSame(allowed.length, 1, "actions that were carried out since: the bystander's");
  },
});
