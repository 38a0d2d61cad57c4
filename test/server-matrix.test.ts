/** Every guarded route against every kind of caller: the answers equal the table (K5). */

import { readFileSync } from "node:fs";
import { parseActionName } from "@trustwarden/core/action.ts";
import { parsePolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { ROLES, type Role } from "@trustwarden/core/role.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatRoute, type Route } from "../server/http/route.ts";
import { ROUTES } from "../server/http/routes.ts";
import {
  createOwner,
  enrolAgent,
  enrolVerifier,
  ownerRequest,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, type RawRequest, send, sendAdmin } from "./support/http.ts";
import { joinNode } from "./support/nodes.ts";
import { CONSOLE, createPerson, refresh, sendConsole, type TestPerson } from "./support/people.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const POLICY = parseJsonObject(readFileSync("policies/trustwarden/data.json", "utf8"));

let server: TestServer;
let owner: TestOwner;
let agent: TestInstance;
let verifier: TestInstance;
let node: TestInstance;
let aud: string;
let people: Readonly<Record<Role, TestPerson>>;

beforeAll(async () => {
  server = await startTestServer(CONSOLE);
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner);
  verifier = await enrolVerifier(server);
  node = await joinNode(server);
  aud = await serverIdOf(server);
  people = {
    admin: await createPerson(server, { roles: ["admin"] }),
    operator: await createPerson(server, { roles: ["operator"] }),
    auditor: await createPerson(server, { roles: ["auditor"] }),
    owner: await createPerson(server, { roles: ["owner"] }),
  };
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const NO_ULID = "01J0000000000000000000000A";
const NO_EVENT = "01890a5d-ac96-774b-bcce-b302099a8057";
const NO_INSTANCE = `inst-${NO_ULID}`;
const NODE_INSTANCE = {
  entry_id: `ent_${NO_ULID}`,
  selectors: ["unix:uid:1"],
  facts: { pid: 1, uid: 1, exe: "", strength: "unix" },
  spki: "AA",
  possession: "x",
  class: null,
  custody: "delivered",
};

const AUTHZEN = {
  subject: { type: "agent", id: "agt_none" },
  action: { name: "read" },
  resource: { type: "x", id: "y" },
};

/** A body of the right shape that does nothing, for each route that takes one; the action its intent must name. */
const BODIES: Readonly<Record<string, { readonly body: object; readonly action: string }>> = {
  "/v1/svids/renew": { body: { possession: "x", spki: "AA" }, action: "renew:svid" },
  "/v1/jwt-svids": { body: { audience: "https://api.test" }, action: "issue:jwt-svid" },
  "/v1/wit-svids": { body: { possession: "x", spki: "AA" }, action: "issue:jwt-svid" },
  "/v1/outcomes": { body: { outcome: "x" }, action: "act:outcome" },
  "/v1/revocations": { body: { target: { kind: "instance", id: "inst-none" } }, action: "revoke:instance" },
  "/v1/narrowings": { body: { instance_id: "inst-none", scope: [] }, action: "narrow:instance" },
  "/v1/entries": { body: { node_entry: { name: "x", selectors: ["x"] } }, action: "create:entry" },
  "/v1/entries/:id/removal": { body: {}, action: "remove:entry" },
  "/v1/join-tokens": { body: { name: "x" }, action: "create:join-token" },
  "/v1/node/instances": { body: NODE_INSTANCE, action: "issue:instance" },
  "/v1/node/renewals": {
    body: { instance_id: NO_INSTANCE, spki: "AA", possession: "x", class: null },
    action: "renew:svid",
  },
  "/v1/node/jwt-svids": {
    body: { instance_id: NO_INSTANCE, audiences: ["x"], identity: "class" },
    action: "issue:jwt-svid",
  },
  "/v1/node/wit-svids": {
    body: { instance_id: NO_INSTANCE, identity: "class", spki: "AA", possession: "x" },
    action: "issue:jwt-svid",
  },
  "/v1/node/endings": { body: { instance_id: NO_INSTANCE }, action: "revoke:instance" },
  "/v1/approvals": {
    body: {
      event_id: NO_EVENT,
      decision_index: 1,
      parameters: { kind: "params", params: null },
      salt: "",
      body: null,
      expires_in: 1,
    },
    action: "create:approval",
  },
  "/v1/approvals/:id/answer": { body: { approval: "x" }, action: "answer:approval" },
  "/v1/claims/search": { body: { code: "x" }, action: "read:claim" },
  "/v1/claims/acceptance": { body: { code: "x", ticket: "x" }, action: "claim:agent" },
  "/v1/transfers": { body: { transfer: "x" }, action: "transfer:agent" },
  "/v1/transfers/acceptance": { body: { offer: "x", acceptance: "x" }, action: "transfer:agent" },
  "/v1/policy/freeze": { body: { freeze: null }, action: "update:policy" },
  "/v1/owners": { body: { name: "carol", spki: "AA" }, action: "create:owner" },
  "/v1/federations": { body: { trust_domain: "own.test", endpoint: null }, action: "create:federation" },
  "/v1/federations/:trust_domain/bundle": { body: { bundle: "{}" }, action: "update:federation" },
  "/v1/federations/:trust_domain/refresh": { body: {}, action: "update:federation" },
  "/v1/federations/:trust_domain/removal": { body: {}, action: "revoke:federation" },
  "/v1/foreign-agents": { body: { registration: "x" }, action: "create:entry" },
  "/v1/authority/steps": { body: { step: "taint", id: "0".repeat(40) }, action: "rotate:authority" },
  "/v1/opa/logs": { body: [], action: "record:outcome" },
  "/v1/opa/status": { body: {}, action: "record:outcome" },
  "/v1/policy": { body: { bundle: "AA==" }, action: "update:policy" },
  "/v1/policy/replays": { body: { bundle: "AA==" }, action: "read:policy" },
  "/access/v1/evaluation": { body: AUTHZEN, action: "ask:decision" },
  "/access/v1/evaluations": { body: AUTHZEN, action: "ask:decision" },
  "/access/v1/search/subject": { body: AUTHZEN, action: "ask:decision" },
  "/access/v1/search/resource": { body: AUTHZEN, action: "ask:decision" },
  "/access/v1/search/action": { body: AUTHZEN, action: "ask:decision" },
  "/v1/budgets": {
    body: {
      subject: `agt_${NO_ULID}`,
      window: "day",
      limits: { calls: 1, tokens: null, micro_usd: null },
    },
    action: "update:budget",
  },
  "/v1/upstreams": { body: { name: "x", kind: "http", url: "none" }, action: "create:upstream" },
  "/v1/upstreams/:name/removal": { body: {}, action: "revoke:upstream" },
  "/v1/upstreams/:name/mcp/look": { body: {}, action: "read:upstreams" },
  "/v1/upstreams/:name/mcp/approvals": { body: {}, action: "approve:upstream" },
  "/v1/secrets": { body: { name: "x", value: "x" }, action: "create:secret" },
  "/v1/secrets/:name/versions": { body: { value: "x" }, action: "rotate:secret" },
  "/v1/secrets/:name/rollback": { body: {}, action: "rotate:secret" },
  "/v1/secrets/:name/scope": { body: {}, action: "update:secret" },
  "/v1/secrets/:name/disabling": { body: {}, action: "revoke:secret" },
  "/v1/secrets/:name/enabling": { body: {}, action: "update:secret" },
  "/v1/secrets/:name/removal": { body: {}, action: "revoke:secret" },
  "/v1/secret-keys/rotation": { body: {}, action: "rotate:secret-key" },
  "/v1/payloads/:event_id/erasure": { body: { reason: "x" }, action: "remove:payload" },
  "/v1/ledger/turns": { body: {}, action: "rotate:ledger" },
  "/v1/tickets": { body: { ticket: "x" }, action: "create:ticket" },
  "/v1/verifier-tickets": { body: { name: "x", ttl_seconds: 60 }, action: "create:verifier-ticket" },
  "/v1/organizations": { body: { name: "x" }, action: "create:organization" },
  "/v1/organizations/:id/name": { body: { name: "x" }, action: "update:organization" },
  "/v1/organizations/:id/members": {
    body: { person: `prs_${NO_ULID}` },
    action: "update:organization",
  },
  "/v1/organizations/:id/members/removal": {
    body: { person: `prs_${NO_ULID}` },
    action: "update:organization",
  },
  "/v1/organizations/:id/removal": { body: {}, action: "remove:organization" },
  "/v1/people/links": { body: { roles: ["auditor"] }, action: "create:link" },
  "/v1/people/:id/roles": { body: { roles: ["auditor"] }, action: "update:person" },
  "/v1/people/:id/end": { body: {}, action: "revoke:person" },
  "/v1/confirmations": {
    body: { method: "GET", target: "/v1/evidence?since=2026-01-01T00:00:00Z", reason: "x" },
    action: "create:confirmation",
  },
  "/v1/backups": { body: {}, action: "create:backup" },
  "/v1/restore/release": { body: { restore: `rst_${"0".repeat(32)}` }, action: "update:restore" },
  "/v1/confirmations/:id/answer": { body: { answer: "refuse" }, action: "answer:confirmation" },
  "/v1/session/end": { body: {}, action: "end:session" },
  "/ssf/stream": { body: { stream_id: "none" }, action: "hold:lease" },
  "/ssf/status": { body: { stream_id: "none", status: "paused" }, action: "hold:lease" },
  "/ssf/subjects/added": { body: { stream_id: "none", subject: {} }, action: "hold:lease" },
  "/ssf/subjects/removed": { body: { stream_id: "none", subject: {} }, action: "hold:lease" },
  "/ssf/verification": { body: { stream_id: "none" }, action: "hold:lease" },
  "/ssf/streams/:stream_id/poll": { body: { returnImmediately: true }, action: "hold:lease" },
};
const QUERIES: Readonly<Record<string, string>> = {
  "/v1/ledger/consistency": "?from=0",
  "/v1/evidence": "?job=none",
  "/v1/ledger/tail": "?from=0",
  "/v1/live": "?frames=1",
  "/v1/budgets": `?subject=agt_${NO_ULID}`,
  "/ssf/stream": "?stream_id=none",
  "/ssf/status": "?stream_id=none",
};
const READS: Readonly<Record<string, string>> = {
  "/v1/approvals": "read:approvals",
  "/v1/approvals/:id": "read:approvals",
  "/v1/policy/freeze": "read:policy",
  "/v1/owners": "read:owners",
  "/v1/entries": "read:entries",
  "/v1/node/entries": "read:entries",
  "/v1/agents": "read:agents",
  "/v1/offers": "read:agents",
  "/v1/agents/:id": "read:agents",
  "/v1/tree": "read:agents",
  "/v1/live": "read:ledger",
  "/v1/budgets": "read:agents",
  "/v1/events": "read:ledger",
  "/v1/events/:event_id": "read:ledger",
  "/v1/ledger/consistency": "read:ledger",
  "/v1/evidence": "read:ledger",
  "/v1/database-roles": "read:secrets",
  "/v1/ledger/tail": "read:ledger",
  "/ledger/tile/entries/*": "read:ledger",
  "/ledger/shard/:shard/tile/entries/*": "read:ledger",
  "/v1/federations": "read:federations",
  "/v1/upstreams": "read:upstreams",
  "/v1/upstreams/:name/mcp": "read:upstreams",
  "/v1/gateway": "read:gateway",
  "/v1/authority": "read:authority",
  "/v1/secrets": "read:secrets",
  "/v1/secret-keys": "read:secrets",
  "/v1/payloads/:event_id": "read:payload",
  "/v1/opa/bundles/:name": "ask:decision",
  "/v1/policy": "read:policy",
  "/v1/leases": "read:status",
  "/v1/confirmations": "read:confirmations",
  "/v1/people": "read:people",
  "/v1/restore": "read:status",
  "/v1/backups": "read:status",
  "/v1/organizations": "read:people",
  "/v1/organizations/:id": "read:organization",
  "/v1/confirmations/:id": "read:confirmations",
  "/v1/session": "read:session",
  "/v1/status": "read:status",
  "/v1/openapi.json": "read:status",
  "/ssf/stream": "hold:lease",
  "/ssf/status": "hold:lease",
};

/** Rows whose credential is in the body have tests of their own, and so have OAuth clients and the upgrade. */
const ROWS = ROUTES.filter(
  (route) =>
    route.access !== "public" &&
    route.answer !== "upgrade" &&
    !route.listeners.includes("envoy") &&
    route.opens === undefined &&
    route.recording !== "decision" &&
    route.dialect !== "oauth" &&
    !route.access.includes("enrollee") &&
    // A person with a passkey in the body.
    !route.path.startsWith("/v1/session/passkeys") &&
    route.path !== "/v1/session/identities",
);

/** Rows that are one action or another, by what they are asked. */
const FURTHER_ACTIONS: Readonly<Record<string, readonly string[]>> = {
  "/v1/revocations": ["revoke:agent", "revoke:owner"],
  "/v1/authority/steps": ["revoke:authority"],
};

/** What a person is asked about; a question about an agent is an action of its own when a person puts it. */
function actionsOf(method: string, path: string): readonly string[] {
  const { action } = requestOf(method, path);
  return [action === "ask:decision" ? "read:evaluation" : action, ...(FURTHER_ACTIONS[path] ?? [])];
}

function requestOf(method: string, path: string): RawRequest & { readonly action: string } {
  const isBodiless = method === "GET" || method === "DELETE";
  const target = `${path.replace("*", "000").replaceAll(":", "")}${(isBodiless && QUERIES[path]) || ""}`;
  if (isBodiless) return { method, target, action: READS[path] ?? "missing" };
  const { body, action } = BODIES[path] ?? { body: {}, action: "missing" };
  return { method, target, action, body: JSON.stringify(body) };
}

type Kind = "anonymous" | "agent" | "verifier" | "node" | "owner" | "operator";

function ask(
  kind: Kind,
  { action, ...request }: ReturnType<typeof requestOf>,
  onAdmin: boolean,
): Promise<RawAnswer> {
  const over = (made: RawRequest) => (onAdmin ? sendAdmin(server.adminSocket, made) : send(server.url, made));
  switch (kind) {
    case "anonymous":
      return send(server.url, request);
    case "agent":
      return send(server.url, signedRequest(agent, { ...request, action, aud }), agent.tls);
    case "verifier":
      return send(server.url, request, verifier.tls);
    case "node":
      return send(server.url, request, node.tls);
    case "owner":
      return over(ownerRequest(owner, { ...request, aud }));
    case "operator":
      return sendAdmin(server.adminSocket, request);
  }
}

describe("the access matrix", () => {
  it("covers the table", () => {
    expect(ROWS.length).toBeGreaterThan(14);
    for (const { method, path } of ROWS) {
      const { action } = requestOf(method, path);
      expect(parseActionName(action)).toBe(action);
    }
  });

  it("is what the table says, for every route and every kind of caller", async () => {
    for (const route of ROWS) {
      if (route.access === "public") continue;
      const { method, path, access, listeners } = route;
      const request = requestOf(method, path);
      const isOnMain = listeners.includes("main");
      // Only browsers get there, and they are asked about below.
      if (listeners.join() === "console") continue;
      for (const kind of ["anonymous", "agent", "verifier", "node", "owner", "operator"] as const) {
        const answer = await ask(kind, request, !isOnMain);
        if (!isOnMain && kind !== "owner" && kind !== "operator") {
          expect([method, path, kind, answer.status]).toEqual([method, path, kind, 404]);
          continue;
        }
        const expected = kind !== "anonymous" && access.includes(kind) ? "admitted" : "refused";
        expect([method, path, kind, verdictOf(answer)]).toEqual([method, path, kind, expected]);
      }
    }
  });
});

describe("the policy", () => {
  it.each(ROLES)("permits a person with the role %s the actions of its rows, and nothing more", (role) => {
    const rows = ROWS.filter(
      (route) =>
        route.access !== "public" && route.roles?.includes(role) && route.listeners.includes("console"),
    );
    const actions = new Set(rows.flatMap(({ method, path }) => actionsOf(method, path)));
    expect([...actions].sort()).toEqual([...(parsePolicyData(POLICY).roles[role] ?? [])].sort());
  });
});

/** The newest event of somebody's. */
async function newestOf(principal: string): Promise<string> {
  const { text } = await sendAdmin(server.adminSocket, { target: "/v1/events?limit=20" });
  const { events } = eventPage.parse(JSON.parse(text));
  return events.find(({ authorized_by: by }) => by === principal)?.event_id ?? "none yet";
}

describe("an admin", () => {
  it("reads and changes nothing without an event of its own: row by row, all there are", async () => {
    const { cookie, personId } = people.admin;
    const rows = ROWS.filter(
      (route) =>
        route.access !== "public" &&
        route.listeners.includes("console") &&
        (route.roles ?? ["admin"]).includes("admin") &&
        route.path !== "/v1/session/end",
    );
    expect(rows.length).toBeGreaterThan(60);
    const silent: string[] = [];
    let last = await newestOf(`person:${personId}`);
    for (const { method, path } of rows) {
      const answer = await sendConsole(server, requestOf(method, path), cookie);
      const newest = await newestOf(`person:${personId}`);
      if (newest === last) silent.push(`${method} ${path} ${answer.status} ${codeOf(answer)}`);
      last = newest;
    }
    expect(silent).toEqual([]);
  });
});

describe("the matrix of routes and roles", () => {
  it("is docs/access.md, by what the server answers to each", async () => {
    const lines: string[] = [];
    // It ends the sessions that the others are asked with.
    const LAST = "/v1/session/end";
    const rows = ROWS.toSorted((left, right) => Number(left.path === LAST) - Number(right.path === LAST));
    for (const route of rows) {
      const { method, path, listeners } = route;
      const request = requestOf(method, path);
      const cells = [
        await cellOf(isOpen(listeners), () => askAsNobody(listeners, request)),
        ...(await inTurn(ROLES, (role) =>
          cellOf(listeners.includes("console"), async () => {
            const answer = await sendConsole(server, request, people[role].cookie);
            // The policy permits by action what the table admits by row; an owner only what is its own.
            const isDenied = answer.status === 403 && codeOf(answer) === "denied";
            if (role !== "owner") expect([method, path, role, isDenied]).toEqual([method, path, role, false]);
            return answer;
          }),
        )),
        ...(await inTurn(["agent", "owner"] as const, (kind) =>
          cellOf(listeners.includes("main"), () => ask(kind, request, false)),
        )),
        await cellOf(listeners.includes("admin"), () => sendAdmin(server.adminSocket, request)),
      ];
      lines.push(`| \`${method} ${path}\` | ${cells.join(" | ")} |`);
    }
    expect(lines.length).toBeGreaterThan(60);
    // Sessions are over by now: theirs are made anew.
    people = Object.fromEntries(
      await Promise.all(ROLES.map(async (role) => [role, await refresh(server, people[role])])),
    );
    for (const route of ROUTES.filter((row) => !ROWS.includes(row)).toSorted(byName))
      lines.push(await lineOfOpen(route));
    expect(lines.length).toBe(ROUTES.length);
    await expect(formatMatrix(lines)).toMatchFileSnapshot("../docs/access.md");
  });
});

/** Whether strangers reach it, by the console or by the main listener. */
const isOpen = (listeners: Route["listeners"]) => listeners.includes("console") || listeners.includes("main");

/** Whoever shows nothing asks where the row is. */
function askAsNobody(listeners: Route["listeners"], request: RawRequest): Promise<RawAnswer> {
  return listeners.includes("console") ? sendConsole(server, request) : send(server.url, request);
}

const byName = (left: Route, right: Route) => formatRoute(left).localeCompare(formatRoute(right));

/** A row that is anybody's, or that no role opens: a proof of its own does, and none comes with these requests. */
async function lineOfOpen(route: Route): Promise<string> {
  const { method, path, listeners, access } = route;
  const request = { ...requestOf(method, path), action: "read:ledger" };
  const cell = async (isServed: boolean, asking: () => Promise<RawAnswer>): Promise<string> => {
    const { status } = await asking();
    const isPublic = isServed && access === "public";
    const isWrong = isPublic ? status === 401 || status === 403 : status < 400;
    expect([method, path, status, isWrong]).toEqual([method, path, status, false]);
    if (!isServed) return "-";
    return access === "public" ? "yes" : "proof";
  };
  const isOnConsole = listeners.includes("console");
  const cells = [
    await cell(isOpen(listeners), () => askAsNobody(listeners, request)),
    ...(await inTurn(ROLES, (role) =>
      cell(isOnConsole, () => sendConsole(server, request, people[role].cookie)),
    )),
    ...(await inTurn(["agent", "owner"] as const, (kind) =>
      cell(listeners.includes("main"), () => ask(kind, request, false)),
    )),
    await cell(listeners.includes("admin"), () => sendAdmin(server.adminSocket, request)),
  ];
  return `| \`${formatRoute(route)}\` | ${cells.join(" | ")} |`;
}

async function inTurn<T>(items: readonly T[], run: (item: T) => Promise<string>): Promise<readonly string[]> {
  const cells: string[] = [];
  for (const item of items) cells.push(await run(item));
  return cells;
}

/** `yes` for who may come, `two` for whom a second admin has to confirm it, `no` for who may not, `-` where it is not served. */
async function cellOf(isServed: boolean, ask: () => Promise<RawAnswer>): Promise<string> {
  const answer = await ask();
  if (!isServed) {
    expect([401, 404, 405]).toContain(answer.status);
    return "-";
  }
  if (verdictOf(answer) === "refused") return "no";
  return answer.status === 403 && codeOf(answer) === "confirmation_required" ? "two" : "yes";
}

function formatMatrix(lines: readonly string[]): string {
  return `# Who may ask what

Every row of the route table with each kind of caller, by what a running server answers: \`yes\` may come (and may
still be told that what it named is not there, or not its own), \`two\` may with a second admin's word on exactly that request,
\`no\` is refused before any policy is asked, \`proof\` is opened by no role and no session but by what the request itself proves (a link, a passkey, a
ticket, evidence, an OAuth client, a lease), of which the rows have tests of their own, and \`-\` is not served there. People come by the console with a session; agents and owners' keys by the main listener; \`socket\` is the admin
socket of the host; rows of further listeners (the web's, policies', metrics', proxies') are \`-\` in every column. Written by \`vitest run test/server-matrix.test.ts -u\`, and compared by it.

| row | anonymous | owner | auditor | operator | admin | agent | owner's key | socket |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
${lines.join("\n")}
`;
}

/** Whoever is admitted may still be told that what it named is not there, or that it may not do this to it. */
function verdictOf(answer: RawAnswer): string {
  return answer.status === 401 && codeOf(answer) === "principal_refused" ? "refused" : "admitted";
}
