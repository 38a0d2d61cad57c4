/** F3: text that another language would obey, in the Authorization header and wherever an id is asked for. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestInstance } from "../../test/support/actors.ts";
import { type RawAnswer, type RawRequest, sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { askEcho, type Brokered, openBrokered, WITH_GATEWAY } from "../support/brokered.ts";
import { call, sendRaw, statusOfRaw, UNPROVEN } from "../support/client.ts";
import { callAsAgent } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** In every payload, so that a statement that holds one is found. */
const MARK = "zq9x";
/** Each breaks out of a quoted text, a filter or a document, somewhere. */
const PAYLOADS = [
  `${MARK}' OR '1'='1`,
  `${MARK}') OR ('1'='1`,
  `${MARK}' OR '1'='1') OR ('1'='1`,
  `${MARK}'; DROP TABLE agents; --`,
  `${MARK}" UNION SELECT * FROM owners --`,
  `*)(uid=${MARK}))(|(uid=*`,
  `{"$ne":"${MARK}"}`,
  `${MARK}\${7*7}{{7*7}}`,
];
/** Ids of a document store's query language. */
const OBJECTS: readonly object[] = [{ $ne: MARK }, { $gt: "" }, [MARK], { toString: MARK }];
/** What splits a header, as bytes. */
const SPLITS = ["\r\nx-injected: 1", "\nx-injected: 1", "\r", "\u0000", "\r\n x"];
const REFUSED: readonly number[] = [400, 401, 403, 404, 405, 409, 422];
const FILTERS = ["agent", "owner", "action", "resource", "kind"];

interface Scene extends Brokered {
  readonly statements: string;
  readonly from: string | undefined;
  /** Not of the agent's subtree. */
  readonly stranger: TestInstance;
}

/** Where `statement-log.ts` writes. */
function statementsOf({ home }: World): string {
  return join(home.dataDir, "..", "statements");
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F3",
  title:
    "SQL, LDAP, document-store and template text, and line breaks, in Authorization, in every id and in every filter",
  expected: "refused, or found nothing; no statement of the database holds any of it",
  weakening: "filters-as-text",
  world: { ...WITH_GATEWAY, imports: ["attacks/support/statement-log.ts"] },
  prepare: async (world): Promise<Scene> => {
    const brokered = await openBrokered(world);
    return {
      ...brokered,
      statements: statementsOf(world),
      from: world.source(),
      stranger: await world.enrol(["read:x"]),
    };
  },
  control: async (world, scene) => {
    const { agent, statements } = scene;
    const own = await readEvents(world, agent, agent.answer.agent_id ?? "");
    expectSame([own.status, own.text.includes(agent.answer.spiffe_id)], [200, true], "its own events");
    const shown = await sendAdmin(world.server.adminSocket, {
      target: `/v1/agents/${agent.answer.agent_id}`,
    });
    expectSame(shown.status, 200, "an id that is one");
    expectSame((await askEcho(scene, "plain")).status, 200, "a call through the gateway");
    expect(existsSync(statements), "the server tells its statements");
    expect(read(statements).includes("INSERT"), "and what it writes is among them");
  },
  attack: async (world, scene) => {
    await attackHeaders(world, scene);
    await attackPaths(world);
    await attackBodies(world);
    await attackFilters(world, scene);
    expect(!read(scene.statements).includes(MARK), "no statement holds what came from outside");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "svid_bearer_refused" }, { atLeast: 1 });
    for (const kind of ["revoke", "narrow", "issue", "policy", "secret", "upstream"])
      await ledger.expect({ kind }, 0);
  },
});

function read(file: string): string {
  return readFileSync(file, "utf8");
}

async function attackHeaders(world: World, { agent, from, upstream }: Scene): Promise<void> {
  const { url, gatewayUrl } = world.server;
  const before = upstream.seen.length;
  for (const payload of PAYLOADS)
    for (const authorization of [`Bearer ${payload}`, `Basic ${payload}`, payload]) {
      const plain = await call(url, { target: "/v1/events", headers: { authorization } }, { from });
      expectSame(plain.status, UNPROVEN.status, `Authorization: ${authorization}`);
      const headers = { authorization, "trustwarden-intent": payload, "trustwarden-owner": payload };
      const presented = await call(
        gatewayUrl ?? "",
        { target: "/echo-1/echo/x", headers },
        { tls: agent.tls },
      );
      expect(REFUSED.includes(presented.status), `the gateway refuses ${authorization}: ${presented.status}`);
    }
  for (const split of SPLITS) {
    const head = `GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${MARK}${split}\r\n\r\n`;
    const status = statusOfRaw(await sendRaw(url, head, { from }));
    expect([0, 400, 401].includes(status), `a split header is refused: ${JSON.stringify(split)} ${status}`);
  }
  expectSame(upstream.seen.length, before, "what reached the upstream");
}

/** Every target with a place for an id, by the operator, who may everything. */
async function attackPaths({ server }: World): Promise<void> {
  const { text } = await sendAdmin(server.adminSocket, { target: "/v1/openapi.json" });
  const { paths }: { readonly paths: Readonly<Record<string, object>> } = JSON.parse(text);
  const named = Object.entries(paths).flatMap(([path, methods]) =>
    path.includes("{") ? Object.keys(methods).map((method) => ({ path, method: method.toUpperCase() })) : [],
  );
  expect(named.length > 10, "there are targets with ids");
  for (const { path, method } of named)
    for (const payload of PAYLOADS) {
      const target = path.replaceAll(/\{[^}]*\}/g, spellInPath(payload));
      const body = method === "POST" ? { body: "{}" } : {};
      await expectRefused(server.adminSocket, { method, target, ...body });
    }
}

async function attackBodies({ server }: World): Promise<void> {
  for (const id of [...PAYLOADS, ...OBJECTS]) {
    const bodies: Readonly<Record<string, object>> = {
      "/v1/revocations": { target: { kind: "instance", id }, reason: "x" },
      "/v1/narrowings": { instance_id: id, scope: [] },
      "/v1/upstreams": { name: id, kind: "http", url: "https://a.test" },
      "/v1/secrets": { name: id, value: "x", upstreams: [], agents: [] },
      "/v1/budgets": { agent_id: id, calls: 1 },
      "/v1/owners": { name: id, spki: "AAAA" },
      "/v1/verifier-tickets": { name: id, ttl_seconds: 60 },
    };
    for (const [target, body] of Object.entries(bodies))
      await expectRefused(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
  }
}

async function attackFilters(world: World, { agent, stranger }: Scene): Promise<void> {
  for (const payload of PAYLOADS) {
    for (const filter of FILTERS) {
      const answer = await readEvents(world, agent, payload, filter);
      expect([200, 400].includes(answer.status), `${filter}=${payload} is answered: ${answer.status}`);
      const others = answer.text.includes(stranger.answer.spiffe_id);
      expect(!others, `${filter}=${payload} shows nothing of others`);
    }
    const named = await sendAdmin(world.server.adminSocket, {
      target: `/v1/agents?name=${encodeURIComponent(payload)}`,
    });
    expectSame([named.status, named.text.includes("agt_")], [200, false], `agents called ${payload}`);
  }
}

function readEvents(world: World, agent: TestInstance, value: string, filter = "agent"): Promise<RawAnswer> {
  const target = `/v1/events?${filter}=${encodeURIComponent(value)}`;
  return callAsAgent(world, agent, { target, action: "read:ledger" });
}

/** What a URL cannot hold as it is is escaped. */
function spellInPath(payload: string): string {
  return payload.replaceAll(/[ "{}<>|^`\\#?/]/g, (character) => encodeURIComponent(character));
}

async function expectRefused(socket: string, request: RawRequest): Promise<void> {
  const { status } = await sendAdmin(socket, request);
  const what = `${request.method} ${request.target} ${String(request.body ?? "")}`;
  expect(REFUSED.includes(status), `${what} is refused: ${status}`);
}
