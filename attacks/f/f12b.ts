/** F12, of databases: a role that was made for a job, after the job; and roles that were never the agent's. */
import { rmSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { signedRequest, type TestInstance } from "../../test/support/actors.ts";
import { jsonOf, type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { POSTGRESQL_BIN, startPostgresql, type TestPostgresql } from "../../test/support/postgresql.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { revoke } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const PASSWORD = "admin-of-roles";
const CUT_MS = 1000;
const TRIES = 200;
const PAUSE_MS = 50;
const TEMPLATES = {
  readonly: { member_of: ["payments_ro"], ttl_seconds: 3600, connections: 2 },
  power: { member_of: ["power"], ttl_seconds: 3600, connections: 2 },
  borrowed: { member_of: ["tw_admin"], ttl_seconds: 3600, connections: 2 },
};

interface Scene {
  readonly world: World;
  readonly database: TestPostgresql;
  readonly agent: TestInstance;
  readonly thief: TestInstance;
}

async function open(world: World): Promise<Scene> {
  const database = await startPostgresql({
    onStarted: (child, directory) => {
      // The cluster ends with the world, and its files with it.
      world.adopt(child).once("exit", () => rmSync(directory, { recursive: true, force: true }));
    },
  });
  await database.admin("CREATE ROLE power; CREATE ROLE over_all SUPERUSER; GRANT over_all TO power");
  const origin = `postgresql://127.0.0.1:${database.port}`;
  const settings = { roles: TEMPLATES };
  const place = { url: `${origin}/payments`, allow_private: true, secret: "pg-admin", settings };
  await operate(world, "/v1/upstreams", { name: "payments", kind: "postgresql", ...place });
  await operate(world, "/v1/secrets", {
    name: "pg-admin",
    value: PASSWORD,
    upstreams: [{ name: "payments", origin }],
    agents: ["agent:**"],
    injection: { as: "basic", user: "tw_admin" },
  });
  const scope = ["issue:database:payments/**"];
  return { world, database, agent: await world.enrol(scope), thief: await world.enrol(scope) };
}

async function ask({ world, database }: Scene, agent: TestInstance, template: string): Promise<RawAnswer> {
  const aud = await world.serverId();
  const action = `issue:database:payments/${template}`;
  const resource = `postgresql://127.0.0.1:${database.port}/payments/roles/${template}`;
  const target = `/payments/roles/${template}`;
  const request = signedRequest(agent, { method: "POST", target, aud, action, intent: { action, resource } });
  return call(world.server.gatewayUrl ?? "", request, { tls: agent.tls });
}

async function logIn({ database }: Scene, answer: RawAnswer) {
  const { role, password } = jsonOf(answer);
  return database.connect({ user: String(role), password: String(password) });
}

/** A role that logs in no more is dropped right after; its event says when it was. */
async function isDropped({ server }: World, role: string): Promise<boolean> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const { text } = await sendAdmin(server.adminSocket, { target: "/v1/events?kind=secret&limit=500" });
    if (text.split(role).length > 2) return true;
    await setTimeout(PAUSE_MS);
  }
  return false;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F12b",
  title:
    "keeps a database session after its revocation; asks for superuser, for a login of others and by another's name",
  expected: "the session is cut within a second and the role is gone; no other role is made",
  weakening: "database-role-outlives-agent",
  missing: () => (POSTGRESQL_BIN === undefined ? "Debian's postgresql" : undefined),
  world: WITH_GATEWAY,
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: open,
  control: async (_world, scene) => {
    const answer = await ask(scene, scene.agent, "readonly");
    expectSame(answer.status, 200, "the agent gets its role");
    const client = await logIn(scene, answer);
    expectSame((await client.query("SELECT id FROM transfers")).rows, [{ id: 1 }], "what it reads");
    await client.end();
  },
  attack: async (world, scene) => {
    const { database, agent, thief } = scene;
    const before = await database.admin("SELECT count(*) FROM pg_roles");
    for (const template of ["power", "borrowed"]) {
      const refused = { status: 403, code: "role_template_refused" } as const;
      expectRefusal(await ask(scene, agent, template), refused, `a role of the template ${template}`);
    }
    const answer = await ask(scene, thief, "readonly");
    const others = String(jsonOf(answer).role);
    expectRefusal(
      await ask(scene, agent, others),
      { status: 404, code: "route_unknown" },
      "another's role by its name",
    );
    const session = await logIn(scene, answer);
    const cut = new Promise<boolean>((resolve) => {
      session.once("end", () => resolve(true));
      void setTimeout(CUT_MS).then(() => resolve(false));
    });
    const id = thief.answer.instance_id;
    expectSame((await revoke(world, "instance", id)).status, 200, "the revocation");
    expect(await cut, "the session is cut within a second");
    const again = await logIn(scene, answer).then(
      () => "logged in",
      () => "refused",
    );
    expectSame(again, "refused", "a login after the revocation");
    expectRefusal(await ask(scene, thief, "readonly"), UNPROVEN, "a role after the revocation");
    expect(await isDropped(world, others), "the end of the role is in the ledger");
    expectSame(await database.admin("SELECT count(*) FROM pg_roles"), before, "the roles of the database");
  },
  evidence: async (ledger, { agent, thief }) => {
    const failed = { kind: "action", principal: agent.answer.spiffe_id, outcome: "failure" } as const;
    await ledger.expect(failed, 2);
    await ledger.expect({ kind: "secret", principal: thief.answer.spiffe_id }, 1);
    await ledger.expect({ kind: "secret" }, 2);
  },
});
