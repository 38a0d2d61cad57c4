/** Roles of a real PostgreSQL for the life of an agent: asked for through the gateway, and gone with who asked. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import {
  POSTGRESQL_BIN,
  readGuideBlock,
  startPostgresql,
  type TestPostgresql,
} from "./support/postgresql.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { createWebCertificate } from "./support/web-certificate.ts";

const SCOPE = ["issue:database:payments/**"];
const TEMPLATES = {
  ...JSON.parse(readGuideBlock("roles.json")).roles,
  writer: { member_of: ["payments_rw"], ttl_seconds: 3600, connections: 3 },
  root: { member_of: ["admins"], ttl_seconds: 60, connections: 1 },
  missing: { member_of: ["nobody_made_it"], ttl_seconds: 60, connections: 1 },
  login: { member_of: ["tw_admin"], ttl_seconds: 60, connections: 1 },
};

describe.skipIf(POSTGRESQL_BIN === undefined)("a role for a job", () => {
  let server: TestServer;
  let database: TestPostgresql;
  let owner: TestOwner;
  let agent: TestInstance;
  let aud: string;

  beforeAll(async () => {
    database = await startPostgresql();
    await database.admin("CREATE ROLE admins; CREATE ROLE roots SUPERUSER; GRANT roots TO admins");
    server = await startTestServer({ gateway: { port: 0 } });
    aud = await serverIdOf(server);
    owner = await createOwner(server);
    agent = await enrol("worker");
    await register(TEMPLATES);
    await operate("/v1/secrets", {
      name: "pg-admin",
      value: "admin-of-roles",
      upstreams: [{ name: "payments", origin: `postgresql://127.0.0.1:${database.port}` }],
      agents: ["agent:team/**"],
      injection: { as: "basic", user: "tw_admin" },
    });
  }, 120_000);
  afterAll(async () => {
    await server?.close();
    await database?.close();
    server?.home.remove();
  });

  const enrol = (name: string, scope = SCOPE) => enrolAgent(server, owner, { path: "team", name, scope });
  const operate = async (target: string, body: object) => {
    const answer = await sendAdmin(server.adminSocket, {
      method: "POST",
      target,
      body: JSON.stringify(body),
    });
    expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
    return answer;
  };
  const register = (roles: object, ca: string | null = null) =>
    operate("/v1/upstreams", {
      ca,
      name: "payments",
      kind: "postgresql",
      url: `postgresql://127.0.0.1:${database.port}/payments`,
      allow_private: true,
      secret: "pg-admin",
      settings: { roles },
    });
  function ask(by: TestInstance, path: string, body?: string): Promise<RawAnswer> {
    const [, template = ""] = /^\/roles\/([^/]*)/.exec(path) ?? [];
    const action = `issue:database:payments/${template}`;
    const resource = `postgresql://127.0.0.1:${database.port}/payments/roles/${template}`;
    const request = { method: "POST", target: `/payments${path}`, aud, action, intent: { action, resource } };
    const signed = signedRequest(by, body === undefined ? request : { ...request, body });
    return send(server.gatewayUrl ?? "", signed, by.tls);
  }
  async function granted(
    by: TestInstance,
    template = "readonly",
  ): Promise<{ user: string; password: string }> {
    const answer = await ask(by, `/roles/${template}`);
    expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
    const { role, password } = jsonOf(answer);
    return { user: String(role), password: String(password) };
  }
  const roles = async () =>
    (
      await database.admin(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'tw\\_%' AND rolname <> 'tw_admin'",
      )
    ).map(({ rolname }) => String(rolname));
  const revoke = (instance: TestInstance) =>
    operate("/v1/revocations", { target: { kind: "instance", id: instance.answer.instance_id } });
  const endOf = (client: Client) => new Promise<void>((resolve) => client.once("end", () => resolve()));

  it("logs in, has what the template's group has and no more, and is named after the instance", async () => {
    const role = await granted(agent);
    expect(role.user).toBe(`tw_${agent.answer.instance_id.replace("inst-", "").toLowerCase()}_readonly`);
    const client = await database.connect(role);
    expect((await client.query("SELECT id FROM transfers")).rows).toEqual([{ id: 1 }]);
    await expect(client.query("INSERT INTO transfers VALUES (2)")).rejects.toMatchObject({ code: "42501" });
    await expect(client.query("CREATE ROLE mine")).rejects.toMatchObject({ code: "42501" });
    await client.end();
    const [found] = await database.admin(
      `SELECT rolsuper, rolcreaterole, rolconnlimit, rolvaliduntil > now() AS is_live FROM pg_roles WHERE rolname = '${role.user}'`,
    );
    expect(found).toEqual({ rolsuper: false, rolcreaterole: false, rolconnlimit: 5, is_live: true });
  });

  it("leaves its password in no event, no file of the server and no log of the database", async () => {
    const { user, password } = await granted(agent);
    const events = await eventsOf(server, "secret");
    expect(JSON.stringify(events)).toContain(`role:payments/${user}`);
    expect(JSON.stringify([...events, ...(await eventsOf(server, "action"))])).not.toContain(password);
    expect(readFileSync(join(server.home.dataDir, "state.db"), "latin1")).not.toContain(password);
    const [row] = await database.admin(`SELECT rolpassword FROM pg_authid WHERE rolname = '${user}'`);
    expect(row?.rolpassword).toMatch(/^SCRAM-SHA-256\$4096:/);
    expect(database.log()).toContain(`ALTER ROLE "${user}"`);
    expect(database.log()).not.toContain(password);
  });

  it("asked for again gets a new password, and the old one is void", async () => {
    const before = await granted(agent);
    const after = await granted(agent);
    expect(after.user).toBe(before.user);
    await expect(database.connect(before)).rejects.toMatchObject({ code: "28P01" });
    await (await database.connect(after)).end();
  });

  it("is shown to operators, without its password", async () => {
    const { user, password } = await granted(agent);
    const answer = await sendAdmin(server.adminSocket, { target: "/v1/database-roles" });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain(`"role":"${user}"`);
    expect(answer.text).not.toContain(password);
  });

  it("given back is gone", async () => {
    const { user } = await granted(agent);
    expect((await ask(agent, "/roles/readonly/end")).status).toBe(200);
    expect(await roles()).not.toContain(user);
  });

  it("ends with its agent: sessions are cut, and what it made is its group's, never the administrator's", async () => {
    const doomed = await enrol("doomed");
    const role = await granted(doomed, "writer");
    const client = await database.connect(role);
    await client.query("CREATE TABLE made (id int)");
    await client.query(
      "CREATE FUNCTION trap() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text'",
    );
    const ended = endOf(client);
    await revoke(doomed);
    await ended;
    await expect.poll(roles).not.toContain(role.user);
    await expect(database.connect(role)).rejects.toMatchObject({ code: "28P01" });
    const [table] = await database.admin("SELECT tableowner FROM pg_tables WHERE tablename = 'made'");
    expect(table).toEqual({ tableowner: "payments_rw" });
    const [trap] = await database.admin("SELECT trap() AS runs_as");
    expect(trap).toEqual({ runs_as: "payments_rw" });
    expect((await ask(doomed, "/roles/writer")).status).toBe(401);
  });

  it("cannot put a function of its own in the administrator's way", async () => {
    const trapper = await enrol("trapper");
    const client = await database.connect(await granted(trapper, "writer"));
    // A better match for `starts_with(rolname, …)` than PostgreSQL's own, which takes texts.
    await client.query(
      `CREATE TABLE caught (who text);
       CREATE FUNCTION starts_with(name, text) RETURNS boolean LANGUAGE sql AS
         'INSERT INTO public.caught SELECT current_user; SELECT true'`,
    );
    await client.end();
    const { user } = await granted(agent);
    await revoke(trapper);
    await expect.poll(roles).toEqual([user]);
    expect(await database.admin("SELECT who FROM caught")).toEqual([]);
    await database.admin("DROP FUNCTION starts_with(name, text)");
  });

  it("ends when the scope no longer covers it", async () => {
    const narrowed = await enrol("narrowed");
    const { user } = await granted(narrowed);
    await operate("/v1/narrowings", {
      instance_id: narrowed.answer.instance_id,
      scope: ["issue:database:payments/writer"],
    });
    await expect.poll(roles).not.toContain(user);
  });

  it.each(["root", "missing", "login"])(
    "of the template %s is refused, and leaves nothing behind",
    async (template) => {
      const before = await roles();
      const answer = await ask(agent, `/roles/${template}`);
      expect([answer.status, codeOf(answer)]).toEqual([403, "role_template_refused"]);
      expect(await roles()).toEqual(before);
    },
  );

  it.each([
    ["a template that is not there", "/roles/none", undefined, 404, "route_unknown"],
    [
      "another instance's role",
      "/roles/tw_01j0000000000000000000000a_readonly",
      undefined,
      404,
      "route_unknown",
    ],
    ["statements", "/roles/readonly", '{"member_of":["payments_rw"]}', 400, "request_malformed"],
  ] as const)("cannot be asked for by %s", async (_, path, body, status, code) => {
    const answer = await ask(agent, path, body);
    expect([answer.status, codeOf(answer)]).toEqual([status, code]);
  });

  it("is for nobody whose scope, or whom the administrator's secret, does not name", async () => {
    const outsider = await enrol("outsider", ["read:items"]);
    expect(codeOf(await ask(outsider, "/roles/readonly"))).toBe("denied");
    const stranger = await enrolAgent(server, owner, { path: "other", name: "stranger", scope: SCOPE });
    expect(codeOf(await ask(stranger, "/roles/readonly"))).toBe("secret_not_allowed");
  });

  it("that an earlier process left behind is dropped at the start, and nobody else's is", async () => {
    const orphan = "tw_01j0000000000000000000000a_readonly";
    const comment = JSON.stringify({
      deployment: aud,
      instance: "inst-01J0000000000000000000000A",
      template: "readonly",
      upstream: "payments",
    });
    await database.admin(
      `CREATE ROLE ${orphan} LOGIN VALID UNTIL '2999-01-01'; COMMENT ON ROLE ${orphan} IS '${comment}';
       CREATE ROLE tw_01j0000000000000000000000b_readonly LOGIN`,
    );
    await server.close();
    server = await startTestServer({ gateway: { port: 0 } }, server.home);
    await expect.poll(roles, { timeout: 20_000 }).not.toContain(orphan);
    expect(await roles()).toContain("tw_01j0000000000000000000000b_readonly");
  });

  it("of a revoked agent ends as soon as the database is there again", async () => {
    const doomed = await enrol("doomed2");
    const { user } = await granted(doomed);
    await database.stop();
    const answer = await ask(agent, "/roles/writer");
    expect([answer.status, codeOf(answer)]).toEqual([502, "upstream_unreachable"]);
    await revoke(doomed);
    await database.start();
    await expect.poll(roles, { timeout: 20_000 }).not.toContain(user);
  });

  it("keeps no group that its template lost while the database was away", async () => {
    const { user } = await granted(agent, "writer");
    await database.stop();
    await register({ ...TEMPLATES, writer: { ...TEMPLATES.writer, member_of: ["payments_ro"] } });
    await database.start();
    await expect.poll(roles, { timeout: 20_000 }).not.toContain(user);
    const client = await database.connect(await granted(agent, "writer"));
    await expect(client.query("INSERT INTO transfers VALUES (3)")).rejects.toMatchObject({ code: "42501" });
    await client.end();
    await register(TEMPLATES);
  });

  it("behind TLS is of no use to whoever has the password and no SVID", async () => {
    const web = createWebCertificate();
    const [cert, key] = [web.certFile, web.keyFile].map((file) => readFileSync(file, "utf8"));
    const read = async (target: string) => (await send(server.url, { target })).text;
    const lists = { ca: await read("/v1/bundle.pem"), crl: await read("/v1/crl.pem") };
    await database.secure({ cert: cert ?? "", key: key ?? "", ...lists });
    await register(TEMPLATES, web.ca);
    const role = await granted(agent);
    const client = await database.connect({ ...role, ssl: { ca: web.ca, ...agent.tls } });
    expect((await client.query("SELECT id FROM transfers")).rows).toEqual([{ id: 1 }]);
    await client.end();
    await expect(database.connect({ ...role, ssl: { ca: web.ca } })).rejects.toThrow();
    await expect(database.connect(role)).rejects.toThrow();
    web.remove();
  });

  it("ends with the registration of its database", async () => {
    const { user } = await granted(agent);
    expect(await roles()).toContain(user);
    await operate("/v1/upstreams/payments/removal", {});
    expect(await roles()).not.toContain(user);
  });
});
