/**
 * Two servers, each a process of its own, on one store and one ledger in a real PostgreSQL: what one does the other knows,
 * what was used at one is used at the other, and either may be killed at any time. Without Debian's PostgreSQL there is
 * nothing to test, and that is said.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { catalogueAnswer } from "@trustwarden/core/api/mcp.ts";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { checkServers } from "../cli/doctor-servers.ts";
import { parseConfig } from "../server/config.ts";
import { latestVersion, MIGRATIONS } from "../server/store/migrations/steps.ts";
import { SERVER_VERSION } from "../server/version.ts";
import { startEchoAgent } from "./support/a2a-agent.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  outcomeOf,
  ownerRequest,
  parseDecision,
  postEnrolment,
  serverIdOf,
  signedRequest,
  type TestInstance,
  ticketOf,
  visitIntent,
} from "./support/actors.ts";
import { callEnvoy, framed, requestFor } from "./support/envoy.ts";
import { type FaultyLink, openFaultyLink } from "./support/faulty-link.ts";
import { freePort } from "./support/free-port.ts";
import { codeOf, jsonOf, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { postForm, proofFor, RESOURCE } from "./support/oauth.ts";
import { createPerson } from "./support/people.ts";
import { POSTGRESQL_BIN, readGuideBlock } from "./support/postgresql.ts";
import { checkOutPreviousVersion } from "./support/previous-version.ts";
import { A2A_SCOPE, askAfter, sayTo, taskOf, WAIT } from "./support/replica-a2a.ts";
import { ReplicaCampaign } from "./support/replica-campaign.ts";
import {
  beginStream,
  CALLS,
  openReplicaShop,
  type ReplicaShop,
  registerShop,
  SHOP_SCOPE,
  type ShopCall,
  sendCall,
  signCall,
} from "./support/replica-gateway.ts";
import {
  OAUTH_URL,
  openReplicaServices,
  type ReplicaServices,
  sendToConsole,
} from "./support/replica-services.ts";
import { type Replica, startReplicas, type TwoReplicas } from "./support/replicas.ts";
import { falseSeen, latestSeen, type Seen } from "./support/seen.ts";
import type { TestServer } from "./support/server.ts";

const START_MS = 120_000;
const CAMPAIGN_MS = 600_000;
const PATIENT = { timeout: 60_000, interval: 100 };
const KILLS = 2;
const QUOTA = 5;
/** How long the database is away: half an hour of it is `OUTAGE_SECONDS=1800`. */
const AWAY_SECONDS = Number(process.env.OUTAGE_SECONDS ?? 1);
const EACH = 8;
const TURNS = 3;
const PDP = "https://pdp.acme.test";
const ROUTES = [
  { method: "GET", path: "/rows", action: "read:transactions", resource: "sqlite://finance/rows" },
];

if (POSTGRESQL_BIN === undefined)
  process.stderr.write("SKIPPED: servers that share a store; install Debian's postgresql\n");

describe.skipIf(POSTGRESQL_BIN === undefined)("two servers on one store and one ledger", () => {
  let two: TwoReplicas;
  let services: ReplicaServices;
  let front: FaultyLink;
  let consolePorts: readonly [number, number];
  let policyPorts: readonly [number, number];
  let envoyPorts: readonly [number, number];
  let gatewayPorts: readonly [number, number];
  let shop: ReplicaShop;
  /** What another's enforcement point asks at one of the servers. */
  const askPdp = (number: 0 | 1, edge: TestInstance, agent: TestInstance) => {
    const subject = { type: "spiffe", id: agent.answer.spiffe_id };
    const asked = { subject, action: { name: "read" }, resource: { type: "transactions", id: "2026" } };
    const request = { method: "POST", target: "/access/v1/evaluation", body: JSON.stringify(asked) };
    return send(`https://127.0.0.1:${policyPorts[number]}`, request, edge.tls);
  };
  const askEnvoy = (number: 0 | 1, edge: TestInstance, agent: TestInstance) =>
    callEnvoy(
      { envoyPort: envoyPorts[number] },
      framed(requestFor(agent.answer.spiffe_id, "GET", "/rows")),
      edge,
    );
  const callAt = async (number: 0 | 1, agent: TestInstance, call: ShopCall, intent = {}) =>
    sendCall(
      gatewayPorts[number],
      await signCall(await two.replicas[number].up(), agent, call, intent),
      agent,
    );
  const streamAt = async (number: 0 | 1, agent: TestInstance) =>
    beginStream(
      gatewayPorts[number],
      await signCall(await two.replicas[number].up(), agent, CALLS.stream),
      agent,
    );
  /** Asks anew while a server that is late with its word to the store turns everybody away. */
  const patiently = async (ask: () => ReturnType<typeof callAt>) => {
    let answer = await ask();
    for (const untilMs = performance.now() + PATIENT.timeout; answer.status === 503; answer = await ask()) {
      if (performance.now() > untilMs) break;
      await sleep(PATIENT.interval);
    }
    return answer;
  };
  const administer = async (number: 0 | 1, target: string, body: object, method = "POST") => {
    const { adminSocket } = await two.replicas[number].up();
    const answer = await sendAdmin(adminSocket, { method, target, body: JSON.stringify(body) });
    expect([answer.status, answer.text]).toEqual([200, answer.text]);
    return jsonOf(answer);
  };
  const enrolBuyer = async (name: string) => {
    const left = await two.replicas[0].up();
    return enrolAgent(left, await createOwner(left, name), { name, scope: SHOP_SCOPE });
  };
  beforeAll(async () => {
    services = await openReplicaServices();
    consolePorts = [await freePort(), await freePort()];
    policyPorts = [await freePort(), await freePort()];
    envoyPorts = [await freePort(), await freePort()];
    gatewayPorts = [await freePort(), await freePort()];
    shop = await openReplicaShop();
    front = await openFaultyLink(consolePorts[0]);
    const origin = `http://localhost:${front.port}`;
    two = await startReplicas((number) => ({
      ...services.settings,
      console: { port: consolePorts[number], origin },
      policy: {
        listener: { port: policyPorts[number], url: PDP, ...services.web },
        envoy: { port: envoyPorts[number], services: { edge: ROUTES } },
      },
      gateway: { port: gatewayPorts[number] },
      quotas: { agentsPerOwner: QUOTA, liveInstancesPerOwner: 1000, issuesPerOwnerPerHour: 1000 },
    }));
    await services.witness(await two.replicas[0].up());
  }, START_MS);
  afterAll(async () => {
    await two.close();
    await front.close();
    await services.close();
    shop.close();
  });

  test("know what the other did, and use up an intent for both", async () => {
    const [left, right] = await Promise.all(two.replicas.map((replica) => replica.up()));
    if (left === undefined || right === undefined) throw new Error("two servers");
    const owner = await createOwner(left, "many");
    const agent = await enrolAgent(right, owner, { name: "one" });
    const verifier = await enrolVerifier(left);
    for (const [asked, other] of [
      [left, right],
      [right, left],
    ] as const) {
      const intent = visitIntent(agent, verifier);
      const visit = { caller: verifier, agent, intent };
      expect((await askDecision(asked, visit)).status).toBe(200);
      const again = await askDecision(other, visit);
      expect([again.status, codeOf(again)]).toEqual([401, "principal_refused"]);
    }
  });

  test("take a ticket once and keep a quota, however many ask at both at the same time (A1, A2, B2)", async () => {
    const servers = await Promise.all(two.replicas.map((replica) => replica.up()));
    const owner = await createOwner(await two.replicas[0].up(), "crowd");
    const both = <Asked>(ask: (server: TestServer, index: number) => Promise<Asked>) =>
      Promise.all(Array.from({ length: 2 * EACH }, (_, at) => ask(servers[at % 2] ?? raise(), at)));
    const ticket = ticketOf(owner, { name: "once" });
    const shown = await both((server) => postEnrolment(server, ticket, createTestSigner()));
    expect(shown.filter(({ status }) => status === 200)).toHaveLength(1);
    const named = await both((server, at) =>
      postEnrolment(server, ticketOf(owner, { name: `one-${at}` }), createTestSigner()),
    );
    // One has its place already.
    expect(named.filter(({ status }) => status === 200)).toHaveLength(QUOTA - 1);
    expect(new Set(named.filter(({ status }) => status !== 200).map(codeOf))).toEqual(
      new Set(["quota_exceeded"]),
    );
  });

  test("stop an agent for both, and take a request that an owner signed once (A6)", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const owner = await createOwner(left, "stopper");
    const agent = await enrolAgent(left, owner, { name: "stopped" });
    const verifier = await enrolVerifier(right);
    const aud = await serverIdOf(left);
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    const stop = ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud });
    expect((await send(left.url, stop)).status).toBe(200);
    const again = await send(right.url, stop);
    expect([again.status, codeOf(again)]).toEqual([401, "principal_refused"]);
    const late = await askDecision(right, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    expect(late.status).toBe(401);
  });

  test("take one outcome of a decision, also when what was answered at the other is long forgotten", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const agent = await enrolAgent(left, await createOwner(left, "ender"), { name: "ending" });
    const verifier = await enrolVerifier(right);
    const visit = { caller: verifier, agent, intent: visitIntent(agent, verifier) };
    const { receipt } = parseDecision(await askDecision(left, visit));
    const report = (server: TestServer, status: "success" | "failure") => {
      const body = JSON.stringify({ outcome: outcomeOf(verifier, receipt, { status }) });
      return send(server.url, { method: "POST", target: "/v1/outcomes", body }, verifier.tls);
    };
    expect((await report(right, "success")).status).toBe(200);
    await two.state.postgresql.admin(
      "delete from trustwarden_state_log.appends where id like 'outcome %'",
      two.database,
    );
    const other = await report(left, "failure");
    expect([other.status, codeOf(other)]).toEqual([409, "event_conflict"]);
  });

  test("take a tree as seen that the other published a moment ago, and none that nobody published (41)", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const agent = await enrolAgent(left, await createOwner(left, "seer"), { name: "seer" });
    const verifier = await enrolVerifier(right);
    const ask = (server: TestServer, seen: Seen) =>
      askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier, { seen }) });
    let latest = await latestSeen(left);
    for (let turn = 0; turn < TURNS; turn += 1) {
      const before = latest.size;
      // What is recorded here makes the tree grow; whichever of them shows the larger one, the other is asked.
      expect(parseDecision(await ask(left, latest)).allow).toBe(true);
      await vi.waitFor(async () => {
        latest = await latestSeen(turn % 2 === 0 ? left : right);
        expect(latest.size).toBeGreaterThan(before);
      }, PATIENT);
      expect(parseDecision(await ask(turn % 2 === 0 ? right : left, latest)).allow).toBe(true);
    }
    for (const seen of Object.values(falseSeen(latest)))
      expect(codeOf(await ask(right, seen))).toBe("checkpoint_unpublished");
  });

  test("let a person in at one who came in at the other, and nobody who left there", async () => {
    const origin = `http://localhost:${front.port}`;
    const { cookie } = await createPerson({ ...(await two.replicas[0].up()), consoleUrl: origin });
    const [left, right] = consolePorts.map((port) => ({ port, origin }));
    if (left === undefined || right === undefined) throw new Error("two servers");
    const session = { target: "/v1/session" };
    for (const place of [right, left, right])
      expect((await sendToConsole(place, session, cookie)).status).toBe(200);
    const end = { method: "POST", target: "/v1/session/end", body: "{}" };
    expect((await sendToConsole(right, end, cookie)).status).toBe(200);
    const gone = await sendToConsole(left, session, cookie);
    expect([gone.status, codeOf(gone)]).toEqual([401, "principal_refused"]);
  });

  test("take a proof of possession once, and void a token for both (OAuth)", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const agent = await enrolAgent(left, await createOwner(left, "oauth"), { name: "oauth" });
    const form = {
      grant_type: "client_credentials",
      client_id: agent.answer.spiffe_id,
      resource: RESOURCE,
    };
    const headers = await proofFor(left, createTestSigner(), { url: `${OAUTH_URL}/oauth/token` });
    const ask = (server: TestServer) => postForm(server, "/oauth/token", { form, tls: agent.tls, headers });
    const answers = await Promise.all([ask(right), ask(left), ask(right)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400, 400]);
    const given = answers.find(({ status }) => status === 200);
    const token = String(jsonOf(given ?? raise()).access_token);
    const { client_id } = form;
    const of = { form: { client_id, token }, tls: agent.tls };
    const isActive = async (server: TestServer) =>
      jsonOf(await postForm(server, "/oauth/introspect", of)).active;
    expect([await isActive(left), await isActive(right)]).toEqual([true, true]);
    expect((await postForm(right, "/oauth/revoke", of)).status).toBe(200);
    expect([await isActive(left), await isActive(right)]).toEqual([false, false]);
  });

  test("answer enforcement points of others by what either of them did (AuthZEN, Envoy)", async () => {
    const left = await two.replicas[0].up();
    const edge = await enrolVerifier(left, "edge");
    const agent = await enrolAgent(left, await createOwner(left, "asked"), { name: "asked" });
    const answers = async () => {
      const evaluated = await Promise.all(([1, 0] as const).map((at) => askPdp(at, edge, agent)));
      const checked = await Promise.all(([1, 0] as const).map((at) => askEnvoy(at, edge, agent)));
      return {
        decisions: evaluated.map((answer) => jsonOf(answer).decision),
        checks: checked.map(({ status, text }) => [status, text.includes("x-trustwarden-agent")]),
      };
    };
    const yes = ["0", true];
    expect(await answers()).toEqual({ decisions: [true, true], checks: [yes, yes] });
    const stop = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    await sendAdmin(left.adminSocket, { method: "POST", target: "/v1/revocations", body: stop });
    const no = ["0", false];
    expect(await answers()).toEqual({ decisions: [false, false], checks: [no, no] });
    const target = "/.well-known/authzen-configuration";
    const described = await send(`https://127.0.0.1:${policyPorts[1]}`, { target });
    expect(jsonOf(described).policy_decision_point).toBe(PDP);
  });

  test("let no job carry outside at one what it read at the other a moment ago (F7)", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const scope = ["read:mail", "send:mail"];
    const agent = await enrolAgent(left, await createOwner(left, "mailer"), { name: "mailer", scope });
    const verifier = await enrolVerifier(left, "mailbox");
    const decide = async (server: TestServer, action: string, effects: object) => {
      const intent = visitIntent(agent, verifier, { action, job: "post" });
      const body = { intent: intent.envelope, svid_chain: agent.answer.svid_chain, effects };
      const request = { method: "POST", target: "/v1/decisions", body: JSON.stringify(body) };
      return parseDecision(await send(server.url, request, verifier.tls));
    };
    const outside = { reads: [], outside: true };
    expect((await decide(right, "send:mail", outside)).allow).toBe(true);
    const reads = ["private", "untrusted"];
    expect((await decide(left, "read:mail", { reads, outside: false })).allow).toBe(true);
    expect(await decide(right, "send:mail", outside)).toMatchObject({ allow: false, reasons: ["tainted"] });
  });

  describe("with gateways", () => {
    test("answer by what was registered at the other a moment ago, and use up an intent for both (E1)", async () => {
      const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
      const agent = await enrolBuyer("caller");
      const unknown = await callAt(1, agent, CALLS.items);
      expect([unknown.status, codeOf(unknown)]).toEqual([404, "upstream_unknown"]);
      expect((await registerShop(left, shop)).status).toBe(200);
      for (const [asked, other] of [
        [1, 0],
        [0, 1],
      ] as const) {
        const call = await signCall(left, agent, CALLS.notes);
        const reached = shop.seen.length;
        expect((await sendCall(gatewayPorts[asked], call, agent)).status).toBe(200);
        const again = await sendCall(gatewayPorts[other], call, agent);
        expect([again.status, codeOf(again)]).toEqual([401, "principal_refused"]);
        expect(shop.seen.length).toBe(reached + 1);
      }
      const kept = await registerShop(right, shop, {
        name: "kept",
        settings: { disclose: "full", routes: [] },
      });
      expect([kept.status, codeOf(kept)]).toEqual([409, "replica_refused"]);
    });

    test("cut what runs at one when the other stops its agent, or takes its upstream away", async () => {
      const stopped = await enrolBuyer("streamer");
      const running = await streamAt(1, stopped);
      const target = { kind: "instance", id: stopped.answer.instance_id };
      await administer(0, "/v1/revocations", { target });
      expect(await running.end()).toBeLessThan(1000);
      const other = await streamAt(0, await enrolBuyer("other"));
      await registerShop(await two.replicas[1].up(), shop, { settings: { routes: [] } });
      await other.end();
      expect((await registerShop(await two.replicas[0].up(), shop)).status).toBe(200);
    });

    test("send out a secret that was sealed at the other, and end what runs with one that is disabled there", async () => {
      const name = "shop-key";
      const injection = { as: "header", name: "authorization", template: "Bearer {secret}" };
      const upstreams = [{ name: "shop", origin: shop.url }];
      const secret = { name, value: "sk-of-both-servers", upstreams, injection, agents: ["agent:**"] };
      await administer(0, "/v1/secrets", secret);
      await registerShop(await two.replicas[1].up(), shop, { secret: name });
      const agent = await enrolBuyer("keyed");
      for (const number of [1, 0] as const) {
        expect((await callAt(number, agent, CALLS.items)).status).toBe(200);
        expect(shop.seen.at(-1)?.authorization).toBe("Bearer sk-of-both-servers");
      }
      // The key that it is sealed under is made anew at the one, and at the other, and handed over each time.
      for (const number of [1, 0] as const) {
        const rotated = await administer(number, "/v1/secret-keys/rotation", { begin: true, reason: "test" });
        expect(rotated).toMatchObject({ remaining: 0, keys: [{ versions: 1, is_here: true }] });
        for (const at of [0, 1] as const)
          expect((await patiently(() => callAt(at, agent, CALLS.items))).status).toBe(200);
        expect(shop.seen.at(-1)?.authorization).toBe("Bearer sk-of-both-servers");
      }
      const running = await streamAt(0, agent);
      await administer(1, `/v1/secrets/${name}/disabling`, { reason: "test" });
      await running.end();
      const refused = await callAt(0, agent, CALLS.items);
      expect([refused.status, codeOf(refused)]).toEqual([403, "secret_disabled"]);
      await registerShop(await two.replicas[0].up(), shop);
    });

    test("let no job carry outside at one what it read at the other a moment ago (F7)", async () => {
      const agent = await enrolBuyer("reader");
      const job = { job: "post" };
      expect((await callAt(1, agent, CALLS.notes, job)).status).toBe(200);
      expect((await callAt(0, agent, CALLS.mail, job)).status).toBe(200);
      const refused = await callAt(1, agent, CALLS.notes, job);
      expect([refused.status, codeOf(refused)]).toEqual([403, "approval_required"]);
    });

    test("know one another's tasks of an agent, and block a changed card for both until either has approved it (A2A)", async () => {
      const echo = await startEchoAgent();
      const settings = { recheck_seconds: 0 };
      await administer(0, "/v1/upstreams", {
        name: "echo",
        kind: "a2a",
        url: echo.url,
        allow_private: true,
        settings,
      });
      const approve = async (number: 0 | 1) => {
        const { pins } = catalogueAnswer.parse(await administer(number, "/v1/upstreams/echo/mcp/look", {}));
        const seen = pins.flatMap((pin) => (pin.seen === null ? [] : [{ ...pin, sha256: pin.seen.sha256 }]));
        const wanted = seen.map(({ kind, name, sha256 }) => ({ kind, name, sha256 }));
        await administer(number, "/v1/upstreams/echo/mcp/approvals", { approve: wanted });
      };
      const left = await two.replicas[0].up();
      const [one, other] = await Promise.all(
        ["asker", "stranger"].map(async (name) =>
          enrolAgent(left, await createOwner(left, name), { name, scope: A2A_SCOPE }),
        ),
      );
      if (one === undefined || other === undefined) throw new Error("two agents");
      const say = async (
        number: 0 | 1,
        agent: TestInstance,
        said: typeof WAIT | ReturnType<typeof askAfter>,
      ) =>
        sayTo(
          { server: await two.replicas[number].up(), port: gatewayPorts[number], url: echo.url },
          agent,
          said,
        );
      await approve(0);
      const task = taskOf(await say(1, one, WAIT));
      expect((await say(0, one, askAfter(task))).text).toContain(task);
      expect((await say(0, other, askAfter(task))).text).toContain("a2a_task_unknown");
      echo.world.card = { ...echo.world.card, description: "Says something else." };
      for (const number of [0, 1] as const)
        expect((await say(number, one, askAfter(task))).text).toContain("mcp_definition_changed");
      await approve(1);
      for (const number of [0, 1] as const) expect((await say(number, one, askAfter(task))).status).toBe(200);
      echo.close();
    });

    test("drop a role of a database that one of them made, when the other stops its agent", async () => {
      const { port } = two.state.postgresql;
      const origin = `postgresql://127.0.0.1:${port}`;
      await administer(0, "/v1/secrets", {
        name: "pg-admin",
        value: "admin-of-roles",
        upstreams: [{ name: "payments", origin }],
        agents: ["agent:**"],
        injection: { as: "basic", user: "tw_admin" },
      });
      await administer(0, "/v1/upstreams", {
        name: "payments",
        kind: "postgresql",
        url: `${origin}/payments`,
        allow_private: true,
        secret: "pg-admin",
        settings: JSON.parse(readGuideBlock("roles.json")),
      });
      const left = await two.replicas[0].up();
      const action = "issue:database:payments/readonly";
      const agent = await enrolAgent(left, await createOwner(left, "dba"), { name: "dba", scope: [action] });
      const right = await two.replicas[1].up();
      const call = {
        method: "POST",
        target: "/payments/roles/readonly",
        aud: await serverIdOf(right),
        action,
      };
      const resource = `${origin}/payments/roles/readonly`;
      const signed = signedRequest(agent, { ...call, intent: { action, resource } });
      const given = await sendCall(gatewayPorts[1], signed, agent);
      expect([given.status, given.text]).toEqual([200, given.text]);
      const find = `select from pg_roles where rolname = '${String(jsonOf(given).role)}'`;
      expect(await two.state.postgresql.admin(find)).toHaveLength(1);
      const target = { kind: "instance", id: agent.answer.instance_id };
      await administer(0, "/v1/revocations", { target });
      await vi.waitFor(async () => expect(await two.state.postgresql.admin(find)).toEqual([]), PATIENT);
    });

    test("let in at both together no more calls than a budget has (F16)", async () => {
      const agent = await enrolBuyer("spender");
      const subject = agent.answer.instance_id;
      const limits = { calls: EACH, tokens: null, micro_usd: null };
      await administer(0, "/v1/budgets", { subject, window: "day", limits });
      const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
      const calls = await Promise.all(
        [left, right, left, right, left, right, left, right, left, right, left, right].map((server) =>
          signCall(server, agent, CALLS.items),
        ),
      );
      const first = await Promise.all(
        calls.map((call, at) => sendCall(gatewayPorts[at % 2 === 0 ? 0 : 1], call, agent)),
      );
      const allowed = first.filter(({ status }) => status === 200).length;
      expect([allowed, new Set(first.map(({ status }) => status))]).toEqual([EACH, new Set([200, 429])]);
    });
  });

  test("keep one stream of security events, wherever its receiver asks", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const receiver = await enrolVerifier(left, "mail");
    const ask = (server: TestServer, target: string, body: object) =>
      send(server.url, { method: "POST", target, body: JSON.stringify(body) }, receiver.tls);
    const made = await ask(left, "/ssf/stream", {});
    expect(made.status).toBe(201);
    const target = `/ssf/streams/${String(jsonOf(made).stream_id)}/poll`;
    const agent = await enrolAgent(right, await createOwner(right, "ssf"), { name: "told" });
    const stop = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    await sendAdmin(right.adminSocket, { method: "POST", target: "/v1/revocations", body: stop });
    const poll = async (server: TestServer, ack: readonly string[] = []): Promise<readonly string[]> =>
      Object.keys(Object(jsonOf(await ask(server, target, { ack, returnImmediately: true })).sets));
    await vi.waitFor(async () => expect(await poll(right)).not.toEqual([]), PATIENT);
    const told = await poll(right);
    await vi.waitFor(async () => expect(await poll(left)).toEqual(told), PATIENT);
    expect(await poll(left, told)).toEqual([]);
    expect(await poll(right)).toEqual([]);
    const removed = { method: "DELETE", target: `/ssf/stream?stream_id=${jsonOf(made).stream_id}` };
    expect((await send(right.url, removed, receiver.tls)).status).toBe(204);
    expect((await ask(left, target, { returnImmediately: true })).status).toBe(404);
  });

  test("have the ledger turned by the one that sequences it, and follow its shards", async () => {
    const said = new Set<unknown>();
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const replica of two.replicas) {
        const { adminSocket } = await replica.up();
        const turned = { method: "POST", target: "/v1/ledger/turns", body: "{}" };
        const answer = await sendAdmin(adminSocket, turned);
        said.add(answer.status === 200 ? "turned" : codeOf(answer));
      }
    }
    // Another may take the seat in the middle of a turn, and finish it; nobody turns without the seat.
    said.delete("ledger_unavailable");
    expect(said).toEqual(new Set(["turned", "replica_refused"]));
    for (const replica of two.replicas) {
      const { adminSocket } = await replica.up();
      const shards = async () => (await sendAdmin(adminSocket, { target: "/ledger/shards" })).text;
      await vi.waitFor(
        async () => expect((await shards()).match(/"vkey"/g)?.length).toBeGreaterThan(TURNS),
        PATIENT,
      );
    }
  });

  test("have the ledger witnessed, also when the one dies that had the seat and the next one only followed its shard; what runs there is spent", async () => {
    const [left, right] = two.replicas;
    expect((await registerShop(await left.up(), shop)).status).toBe(200);
    const spender = await enrolBuyer("dying");
    const limits = { calls: 1, tokens: null, micro_usd: null };
    await administer(0, "/v1/budgets", { subject: spender.answer.instance_id, window: "day", limits });
    const running = await streamAt(0, spender);
    const { shards } = jsonOf(await send((await left.up()).url, { target: "/ledger/shards" }));
    const name: unknown = Array.isArray(shards) ? shards.at(-1).name : "";
    // The first shard has no name; it is the last one where nobody turned the ledger yet.
    const target = `/ledger/${name === null ? "" : `shard/${name}/`}witnessed-checkpoint`;
    const headOf = async (replica: Replica) => (await send((await replica.up()).url, { target })).text;
    const sizeOf = async (replica: Replica) => Number((await headOf(replica)).split("\n")[1]);
    await vi.waitFor(async () => {
      expect(await sizeOf(left)).toBeGreaterThan(0);
      expect(await headOf(left)).toBe(await headOf(right));
    }, PATIENT);
    let before = await sizeOf(left);
    for (const [doomed, heir] of [
      [left, right],
      [right, left],
    ] as const) {
      await doomed.kill();
      await vi.waitFor(async () => createOwner(await heir.up(), `witnessed-${performance.now()}`), PATIENT);
      await vi.waitFor(async () => expect(await sizeOf(heir)).toBeGreaterThan(before), PATIENT);
      before = await sizeOf(heir);
      if (heir === right) {
        await running.end();
        const late = await callAt(1, spender, CALLS.items);
        expect([late.status, codeOf(late)]).toEqual([429, "budget_exhausted"]);
      }
      await doomed.start();
    }
  });

  test("have told the sink every event, whichever of them had the seat and died", async () => {
    const { adminSocket } = await two.replicas[0].up();
    const { events } = jsonOf(await sendAdmin(adminSocket, { target: "/v1/events?kind=owner&limit=100" }));
    const owners = Array.isArray(events) ? events.map(({ event_id }) => event_id) : [];
    expect(owners.length).toBeGreaterThan(5);
    await vi.waitFor(() => {
      const taken = new Set(services.taken.map(({ event_id }) => event_id));
      expect(owners.filter((id) => !taken.has(id))).toEqual([]);
    }, PATIENT);
  });

  test("sign with a key that either of them made, at the next start too", async () => {
    const [left, right] = [await two.replicas[0].up(), await two.replicas[1].up()];
    const step = async ({ adminSocket }: TestServer, body: object) => {
      const text = JSON.stringify({ reason: "by hand", ...body });
      const answer = await sendAdmin(adminSocket, {
        method: "POST",
        target: "/v1/authority/steps",
        body: text,
      });
      expect([answer.status, answer.text]).toEqual([200, answer.text]);
    };
    const owner = await createOwner(left, "rotated");
    const issuerAt = async (server: TestServer, name: string) => {
      const { answer } = await enrolAgent(server, owner, { name });
      return String(answer.svid_chain.at(1));
    };
    const first = await issuerAt(left, "before");
    await step(left, { step: "rotate", kind: "intermediate", force: true });
    const second = await issuerAt(right, "at-the-other");
    expect(second).not.toBe(first);
    await step(right, { step: "rotate", kind: "jwt", force: true });
    await step(right, { step: "rotate", kind: "intermediate", force: true });
    const third = await issuerAt(left, "and-back");
    expect(third).not.toBe(second);
    // The next process has it too.
    await two.replicas[0].restart();
    await vi.waitFor(
      async () => expect(await issuerAt(await two.replicas[0].up(), "again")).toBe(third),
      PATIENT,
    );
  });

  test("are seen by `warden doctor`, both of them, and on their way with what the ledger is owed", async () => {
    const { state } = parseConfig({ dataDir: "/data", configDir: "/config", ...two.settings });
    const seen = async (nowMs: number) =>
      (await checkServers({ state }, () => nowMs)).map(({ name, state: found }) => [name, found]);
    await vi.waitFor(
      async () =>
        expect(await seen(Date.now())).toEqual([
          ["servers", "good"],
          ["versions of the servers", "good"],
          ["clocks of the servers", "good"],
          ["outbox", "good"],
        ]),
      PATIENT,
    );
    expect(await seen(Date.now() + 60_000)).toContainEqual(["clocks of the servers", "bad"]);
    const versions = async () =>
      (await checkServers({ state }, Date.now)).find(({ name }) => /^versions/.test(name));
    const tables = latestVersion(MIGRATIONS);
    const all = `servers: 2 x ${SERVER_VERSION}; they know 2 x tables ${tables}; the store has tables ${tables}, settled at ${tables}`;
    // A server that was started again is seen as the one before, too, for some seconds.
    await vi.waitFor(async () => expect((await versions())?.found).toBe(all), PATIENT);
    // As the beat of a server of the version before leaves it, which says nothing of the kind.
    await two.state.postgresql.admin(
      "insert into trustwarden_state_log.replicas (name, acked, leases) values ('of before', 1000000, 0)",
      two.database,
    );
    expect(await versions()).toMatchObject({ state: "bad", next: expect.stringContaining("Update") });
    await two.replicas[1].kill();
    await vi.waitFor(async () => expect(await seen(Date.now())).toContainEqual(["servers", "bad"]), PATIENT);
    await two.replicas[1].start();
  });

  test("say nothing of what was decided under a lease that is over when the ledger has it", async () => {
    const server = await two.replicas[0].up();
    const owner = await createOwner(server, "held");
    const agent = await enrolAgent(server, owner, { name: "held" });
    const verifier = await enrolVerifier(server, "held");
    const hold = (table: string, seconds: number) =>
      two.state.postgresql.admin(
        `begin; lock table trustwarden_state_log.${table} in access exclusive mode; select pg_sleep(${seconds}); commit`,
        two.database,
      );
    const ask = () => askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    const carrying = hold("appends", 3);
    await sleep(500);
    const asked = ask();
    await sleep(1000);
    const beating = hold("replicas", 30).catch((error: unknown) => String(error));
    const refused = await asked;
    expect([refused.status, codeOf(refused)]).toEqual([503, "store_unavailable"]);
    await two.state.postgresql.admin(
      "select pg_cancel_backend(pid) from pg_stat_activity where query like 'begin; lock table%replicas%'",
    );
    expect(await beating).toContain("canceling statement");
    await carrying;
    await vi.waitFor(async () => expect((await ask()).status).toBe(200), PATIENT);
  });

  test("say nothing where one is cut off from the database, while the other goes on", async () => {
    const [left, right] = two.replicas;
    const [a, b] = [await left.up(), await right.up()];
    const owner = await createOwner(a, "parted");
    const agent = await enrolAgent(a, owner, { name: "parted" });
    const verifier = await enrolVerifier(a);
    const edge = await enrolVerifier(a, "edge");
    const ask = (server: TestServer) =>
      askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    const streamer = await enrolAgent(a, owner, { name: "streaming", scope: SHOP_SCOPE });
    const running = await beginStream(gatewayPorts[1], await signCall(b, streamer, CALLS.stream), streamer);
    right.database.part();
    // What runs ends with the lease, which nobody answers for any more.
    expect(await running.end()).toBeLessThan(1000);
    const late = await sendCall(gatewayPorts[1], await signCall(a, streamer, CALLS.items), streamer);
    expect([late.status, codeOf(late)]).toEqual([503, "store_unavailable"]);
    const [refused, evaluated, checked] = await Promise.all([
      ask(b),
      askPdp(1, edge, agent),
      askEnvoy(1, edge, agent),
    ]);
    expect([refused.status, codeOf(refused)]).toEqual([503, "store_unavailable"]);
    // Which of the two ways to the database failed first.
    expect([evaluated.status, codeOf(evaluated)]).toEqual([
      503,
      expect.stringMatching(/^(store|ledger)_unavailable$/),
    ]);
    // No answer at all: the proxy lets nobody in.
    expect(checked.status).toBe("14");
    // What a step of the authority at the other server changes, too.
    const published = ["/v1/bundle", "/v1/jwks", "/.well-known/trustwarden", "/v1/successions"];
    const read = Promise.all(published.map((target) => send(b.url, { target })));
    expect((await send(b.url, { target: "/healthz" })).status).toBe(200);
    // It may have been the one that sequences: the other has its seat when the database has given the lock up.
    await vi.waitFor(async () => expect((await ask(a)).status).toBe(200), PATIENT);
    for (const answer of await read)
      expect([answer.status, codeOf(answer)]).toEqual([503, "store_unavailable"]);
    right.database.heal();
    right.database.reset();
    await vi.waitFor(async () => expect((await ask(b)).status).toBe(200), PATIENT);
  });

  test(
    "answer nothing while the database is away, stops too, and go on by themselves when it is back",
    async () => {
      const servers = await Promise.all(two.replicas.map((replica) => replica.up()));
      const owner = await createOwner(await two.replicas[0].up(), "waiting");
      const agent = await enrolAgent(await two.replicas[0].up(), owner, { name: "waiting" });
      const verifier = await enrolVerifier(await two.replicas[0].up(), "waiting");
      const origin = `http://localhost:${front.port}`;
      const at = { ...(await two.replicas[0].up()), consoleUrl: origin };
      const { cookie } = await createPerson(at, { roles: ["auditor"] });
      const target = { kind: "instance", id: agent.answer.instance_id };
      const stop = { method: "POST", target: "/v1/revocations", body: JSON.stringify({ target }) };
      const enrol = async (server: TestServer) => {
        const nonce = await send(server.url, { target: "/v1/nonce" });
        return nonce.status === 200
          ? postEnrolment(server, ticketOf(owner, { name: `late-${randomUUID()}` }), createTestSigner())
          : nonce;
      };
      const ask = (server: TestServer) =>
        askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
      const all = (server: TestServer, at: number) =>
        Promise.all([
          ask(server),
          enrol(server),
          send(server.url, { target: "/v1/bundle" }),
          sendToConsole({ port: consolePorts[at] ?? 0, origin }, { target: "/v1/session" }, cookie),
        ]);
      const expectNothing = async (server: TestServer, at: number) => {
        const stopping = sendAdmin(server.adminSocket, stop);
        const answers = [...(await all(server, at)), await stopping];
        const told = answers.map((answer) => `${answer.status} ${codeOf(answer)}`);
        expect(told).toEqual(told.map(() => expect.stringMatching(/^503 (store|ledger)_unavailable$/)));
        expect((await send(server.url, { target: "/healthz" })).status).toBe(200);
      };
      await two.state.postgresql.stop();
      // What each heard of the store counts for the rest of its lease.
      for (const { url } of servers)
        await vi.waitFor(
          async () => expect((await send(url, { target: "/v1/bundle" })).status).toBe(503),
          PATIENT,
        );
      const fromMs = performance.now();
      do {
        // Both at once: each waits some seconds for its word with the store before it says no.
        await Promise.all(servers.map(expectNothing));
        await sleep(Math.min(AWAY_SECONDS * 100, 20_000));
      } while (performance.now() - fromMs < AWAY_SECONDS * 1000);
      await two.state.postgresql.start();
      // Nobody is stopped by what was refused, and nobody had to start a server again.
      for (const [at, server] of servers.entries()) {
        // By a question that uses nothing up: an owner has a number of agents.
        await vi.waitFor(async () => expect((await ask(server)).status).toBe(200), PATIENT);
        const [decided, enrolled, bundle] = await all(server, at);
        expect([decided.status, enrolled.status, bundle.status]).toEqual([200, 200, 200]);
      }
      for (const [at, replica] of two.replicas.entries()) {
        expect(await replica.up()).toBe(servers[at]);
        expect(replica.ended).toBeUndefined();
      }
    },
    120_000 + AWAY_SECONDS * 1000,
  );
});

const previous = POSTGRESQL_BIN === undefined ? undefined : checkOutPreviousVersion();
const OLDER = latestVersion(MIGRATIONS) - 1;

test.skipIf(POSTGRESQL_BIN === undefined)(
  "two servers of the version before live through the tables of this one, and are killed in turn and go on as this one: they lose, double and contradict nothing, no check fails, and none of before comes back",
  async () => {
    const from = previous && { directory: previous.directory, store: OLDER };
    const campaign = await ReplicaCampaign.begin(from === undefined ? {} : { from });
    try {
      if (from !== undefined) await campaign.bringUp(OLDER);
      const seen = await campaign.run(KILLS);
      expect(seen.decisions).toBeGreaterThan(KILLS);
      expect(seen.replays).toBeGreaterThan(0);
      expect(Math.min(seen.sessions, seen.tokens, seen.told, seen.sunk)).toBeGreaterThan(0);
      if (from === undefined) return;
      await campaign.settle();
      expect(await campaign.refusalOf(from.directory)).toContain("config_invalid");
    } finally {
      await campaign.end();
      previous?.remove();
    }
  },
  CAMPAIGN_MS,
);

function raise(): never {
  throw new Error("two servers");
}
