/** The SDK against a real server: what agents and services can do, and what they are refused. */
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyAcknowledgement } from "@trustwarden/core/agentledger/acknowledgement.ts";
import { vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { discovery, eventPage, turnAnswer } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentIdentity } from "./agent-identity.ts";
import { createInstanceKey } from "./instance-key.ts";
import {
  type LiveServer,
  type LiveService,
  startFetchService,
  startLiveServer,
  startLiveService,
} from "./live.test.support.ts";
import { issueIdentity } from "./support.test.helpers.ts";
import { SERVER_TLS_OPTIONS } from "./tls.ts";
import { verifyAgent } from "./verify-agent.ts";

const route = (method: string, path: string, action: string) => ({
  method,
  path,
  action,
  resource: `postgres://db${path}`,
});
const ROUTES = [
  route("GET", "/transactions/{id}", "read:transactions"),
  route("POST", "/transactions", "write:ledger"),
  route("DELETE", "/transactions/{id}", "delete:transactions"),
  route("GET", "/failing", "read:transactions"),
  route("GET", "/missing", "read:transactions"),
  route("GET", "/breaking", "read:transactions"),
];
const SCOPE = ["read:transactions", "write:ledger", "write:report", "pay:invoice", "delete:transactions"];

let live: LiveServer;
let service: LiveService;
let orchestrator: AgentIdentity;
let agent: AgentIdentity;
/** Actions that the service's own code was called for. */
const handled: string[] = [];

const code = (name: string) => expect.objectContaining({ code: name });

beforeAll(async () => {
  live = await startLiveServer();
  service = await startLiveService(live, {
    name: "finance",
    routes: ROUTES,
    listener: (request, response, visit) => {
      handled.push(`${visit.action} ${visit.resource}`);
      if (request.url === "/failing") throw new Error("planted");
      if (request.url === "/breaking") {
        response.write("first half");
        setTimeout(() => response.destroy(), 50);
        return;
      }
      response.statusCode = request.url === "/missing" ? 404 : 200;
      response.setHeader("content-type", "application/json");
      const body = Buffer.from(visit.body).toString();
      response.end(JSON.stringify({ params: visit.params, body, agent: visit.agent }));
    },
  });
  orchestrator = await AgentIdentity.create({
    name: "orchestrator",
    ticket: live.ticket({ name: "orchestrator", scope: SCOPE }),
  });
  agent = await AgentIdentity.create({
    name: "payment-agent",
    scope: ["read:transactions", "write:ledger", "write:report", "pay:invoice"],
    ttl: "30m",
    parent: orchestrator.id,
  });
});

afterAll(async () => {
  await agent?.close();
  await orchestrator?.close();
  await service?.close();
  await live?.close();
});

/** The agent's own actions as the ledger shows them, newest kinds included. */
async function eventsOf(who: AgentIdentity) {
  const answer = await who.fetch(`${live.url}/v1/events?agent=${who.agentId}&kind=action&limit=500`);
  expect(answer.status, await answer.clone().text()).toBe(200);
  return eventPage.parse(await answer.json()).events;
}

describe("an agent", () => {
  it("has its identity before it does anything, and its chain up to a human", () => {
    expect(agent.id).toMatch(/^spiffe:\/\/acme\.test\/team\/finance\/payment-agent\/inst-/);
    expect(agent.agentId).toMatch(/^agt_/);
    expect(agent.chain).toEqual([expect.stringMatching(/^owner:own_/), orchestrator.agentId, agent.agentId]);
    expect(agent.ttlShortened).toBe(false);
  });

  it("reads from a service, with a receipt that holds", async () => {
    const before = agent.receipts.length;
    const answer = await agent.fetch(`${service.url}/transactions/42?full=yes`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({
      params: { id: "42" },
      agent: { spiffeId: agent.id, agentId: agent.agentId, chain: agent.chain },
    });
    expect(agent.receipts).toHaveLength(before + 1);
    expect(agent.receipts.at(-1)).toMatchObject({ allow: true, action: "read:transactions" });
  });

  it("writes with a body that the service gets byte for byte", async () => {
    const body = JSON.stringify({ amount: 1, text: "ä" });
    const answer = await agent.fetch(`${service.url}/transactions`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
      params: { amount: 1 },
    });
    expect(await answer.json()).toMatchObject({ body });
    const kept = agent.receipts.at(-1);
    expect(kept).toMatchObject({ params: { amount: 1 }, paramsSalt: expect.stringMatching(/^[\w-]{43}$/) });
  });

  it("is denied what its scope does not hold, with a recorded decision, and nothing is done", async () => {
    const before = handled.length;
    const answer = await agent.fetch(`${service.url}/transactions/42`, { method: "DELETE" });
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ error: { code: "denied" } });
    expect(agent.receipts.at(-1)).toMatchObject({ allow: false, action: "delete:transactions" });
    expect(agent.receipts.at(-1)?.reasons).not.toEqual([]);
    expect(handled).toHaveLength(before);
  });

  it("acts in parallel, each intent with its own number", async () => {
    const visits = Array.from({ length: 20 }, (_, id) => agent.fetch(`${service.url}/transactions/${id}`));
    const answers = await Promise.all(visits);
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
  });

  it("finds no route that the service does not list", async () => {
    await expect(agent.fetch(`${service.url}/accounts`)).rejects.toThrow(code("route_unknown"));
  });

  it("finds in the ledger what came of each action: success, failure, broken off, denied", async () => {
    await (await agent.fetch(`${service.url}/transactions/7`)).text();
    expect((await agent.fetch(`${service.url}/failing`)).status).toBe(500);
    expect((await agent.fetch(`${service.url}/missing`)).status).toBe(404);
    const breaking = await agent.fetch(`${service.url}/breaking`);
    await expect(breaking.text()).rejects.toThrow();
    await agent.fetch(`${service.url}/transactions/7`, { method: "DELETE" });
    const outcomes = async () => {
      const events = await eventsOf(agent);
      const latest = (resource: string, action = "read:transactions") =>
        events.find((event) => event.resource === `postgres://db${resource}` && event.action === action)
          ?.outcome;
      return [
        latest("/transactions/7"),
        latest("/failing"),
        latest("/missing"),
        latest("/breaking"),
        latest("/transactions/7", "delete:transactions"),
      ];
    };
    await expect
      .poll(outcomes, { timeout: 5000 })
      .toEqual(["success", "failure", "failure", "aborted", "denied"]);
  });

  it("shows nothing but its id to a log or a serialiser", () => {
    expect(inspect(agent, { depth: 9 })).toBe(`AgentIdentity(${agent.id})`);
    expect(JSON.stringify({ agent })).toBe(JSON.stringify({ agent: agent.id }));
  });

  it("gets a JWT-SVID for one audience", async () => {
    const token = await agent.jwt("https://cloud.example");
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    expect(claims).toMatchObject({ sub: agent.id, aud: "https://cloud.example" });
  });

  it("goes on under a new key and SVID", async () => {
    await agent.renew();
    expect((await agent.fetch(`${service.url}/transactions/1`)).status).toBe(200);
    await agent.act("write:report", "file://reports/q3", null, async () => undefined);
  });
});

describe("an act in the agent's own process", () => {
  it("is decided before and reported after", async () => {
    const result = await agent.act("write:report", "file://reports/q4", { pages: 12 }, async () => "done");
    expect(result).toBe("done");
    expect(agent.receipts.at(-1)).toMatchObject({ allow: true, action: "write:report" });
    const events = await eventsOf(agent);
    const event = events.find(({ resource }) => resource === "file://reports/q4");
    expect(event).toMatchObject({ outcome: "success", enforcement: "self" });
  });

  it("is not done when it is denied", async () => {
    let isDone = false;
    const act = agent.act("write:secrets", "file://secrets", null, async () => {
      isDone = true;
    });
    await expect(act).rejects.toThrow(code("denied"));
    expect(isDone).toBe(false);
    expect(agent.receipts.at(-1)).toMatchObject({ allow: false });
  });

  it("is refused for class A, whatever the scope says", async () => {
    const act = agent.act("pay:invoice", "bank://invoice/1", null, async () => undefined);
    await expect(act).rejects.toThrow(code("denied"));
    expect(agent.receipts.at(-1)?.reasons).toContain("self_enforcement_refused");
  });

  it("is recorded as failed when it throws, and throws the same", async () => {
    const act = agent.act("write:report", "file://reports/broken", null, async () => {
      throw new RangeError("planted");
    });
    await expect(act).rejects.toThrow(RangeError);
    const events = await eventsOf(agent);
    expect(events.find(({ resource }) => resource === "file://reports/broken")?.outcome).toBe("failure");
  });
});

describe("a parent", () => {
  it("cannot give what it does not have, and is told an action that shows it (C1)", async () => {
    const spawn = orchestrator.spawn({ name: "rogue", scope: ["read:transactions", "delete:everything"] });
    const error = await spawn.catch((reason: unknown) => reason);
    expect(error).toEqual(code("scope_not_subset"));
    expect(Object(error).details.counterexample).toMatch(/^delete:everything/);
  });

  it("cannot give exactly what it has (C2)", async () => {
    const spawn = agent.spawn({ name: "twin", scope: agent.scope });
    await expect(spawn).rejects.toThrow(code("scope_not_subset"));
  });

  it("cannot give longer than it has itself: the lifetime is cut, and that is said", async () => {
    const child = await agent.spawn({ name: "long", scope: ["read:transactions"], ttl: "7d" });
    expect(child.ttlShortened).toBe(true);
    expect(child.expiresAt).toBe(agent.expiresAt);
    await child.revoke();
  });

  it("grants across processes, to one key and once", async () => {
    const request = AgentIdentity.request({ name: "remote", scope: ["read:transactions"], ttl: "10m" });
    const grant = await orchestrator.grant(request.text);
    const thief = AgentIdentity.request({ name: "remote", scope: ["read:transactions"], ttl: "10m" });
    await expect(thief.complete(grant)).rejects.toThrow(code("principal_refused"));
    const remote = await request.complete(grant);
    expect((await remote.fetch(`${service.url}/transactions/1`)).status).toBe(200);
    await expect(request.complete(grant)).rejects.toThrow(code("principal_refused"));
    await remote.close();
  });

  it("stops its child within a second, everywhere, with the service's confirmation; the child's children too", async () => {
    const child = await orchestrator.spawn({ name: "child", scope: ["read:transactions", "write:ledger"] });
    const grandchild = await child.spawn({ name: "grandchild", scope: ["read:transactions"] });
    expect((await grandchild.fetch(`${service.url}/transactions/1`)).status).toBe(200);
    const answer = await orchestrator.revoke({ child, reason: "test" });
    expect(answer).toMatchObject({ acked: 1, expired: 0, instances: 2 });
    expect(answer.elapsed_ms).toBeLessThan(1000);
    for (const stopped of [child, grandchild]) {
      expect((await stopped.fetch(`${service.url}/transactions/1`)).status).toBe(401);
      const act = stopped.act("write:ledger", "file://x", null, async () => undefined);
      await expect(act).rejects.toThrow(code("principal_refused"));
      await expect(stopped.renew()).rejects.toThrow(code("principal_refused"));
      await stopped.close();
    }
    expect((await agent.fetch(`${service.url}/transactions/1`)).status).toBe(200);
  });

  it("cannot stop anybody but its own", async () => {
    const other = await orchestrator.spawn({ name: "bystander", scope: ["read:transactions"] });
    await expect(agent.revoke({ child: other })).rejects.toThrow(code("denied"));
    await expect(agent.revoke({ child: orchestrator })).rejects.toThrow(code("denied"));
    await other.close();
  });

  it("that ended itself is no parent any more", async () => {
    const child = await orchestrator.spawn({ name: "ended", scope: ["read:transactions", "write:ledger"] });
    await child.revoke("done");
    await expect(child.fetch(`${service.url}/transactions/1`)).rejects.toThrow(code("identity_closed"));
    const create = AgentIdentity.create({ name: "orphan", scope: ["read:transactions"], parent: child.id });
    await expect(create).rejects.toThrow(code("parent_proof_missing"));
  });
});

describe("a ticket", () => {
  it("works once", async () => {
    const ticket = live.ticket({ name: "once", scope: ["read:transactions"] });
    const first = await AgentIdentity.create({ name: "once", ticket });
    await expect(AgentIdentity.create({ name: "once", ticket })).rejects.toThrow(code("principal_refused"));
    await first.close();
  });

  it("of a service makes no agent, and of an agent no service", async () => {
    const verifierTicket = await live.verifierTicket("other");
    await expect(AgentIdentity.create({ name: "other", ticket: verifierTicket })).rejects.toThrow(
      code("ticket_mismatch"),
    );
    const ticket = live.ticket({ name: "other", scope: ["read:transactions"] });
    await expect(verifyAgent({ ticket, routes: ROUTES })).rejects.toThrow(code("ticket_mismatch"));
  });
});

describe("a service", () => {
  it("shows its renewed SVID to new visitors and goes on serving", async () => {
    await service.guardAgents.renew();
    const visitor = await orchestrator.spawn({ name: "visitor", scope: ["read:transactions"] });
    expect((await visitor.fetch(`${service.url}/transactions/1`)).status).toBe(200);
    expect((await agent.fetch(`${service.url}/transactions/1`)).status).toBe(200);
    await visitor.close();
  });

  it("with a new identity at an old address is recognised, since no intent was sent to it yet", async () => {
    const first = await startLiveService(live, {
      name: "moving",
      routes: ROUTES,
      listener: (_, response) => void response.end(),
    });
    expect((await agent.fetch(`${first.url}/transactions/1`)).status).toBe(200);
    await first.close();
    const second = await startLiveService(live, {
      name: "moving",
      routes: ROUTES,
      listener: (_, response) => void response.end("second"),
      port: first.port,
    });
    expect(await (await agent.fetch(`${second.url}/transactions/1`)).text()).toBe("second");
    await second.close();
  });

  it("speaks fetch style too, and reports a stream at its end or where it breaks", async () => {
    const chunks = (...parts: readonly (string | Error)[]) =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (const part of parts) {
            if (part instanceof Error) controller.error(part);
            else controller.enqueue(Buffer.from(part));
          }
          if (!parts.some((part) => part instanceof Error)) controller.close();
        },
      });
    const fetching = await startFetchService(live, ROUTES, (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/breaking") return new Response(chunks("first half", new Error("planted")));
      if (pathname === "/missing") return new Response(null, { status: 404 });
      return new Response(chunks("one ", "two"));
    });
    const visitor = await orchestrator.spawn({ name: "streamer", scope: ["read:transactions"] });
    expect(await (await visitor.fetch(`${fetching.url}/transactions/1`)).text()).toBe("one two");
    expect((await visitor.fetch(`${fetching.url}/missing`)).status).toBe(404);
    await expect(visitor.fetch(`${fetching.url}/breaking`).then((answer) => answer.text())).rejects.toThrow();
    expect((await visitor.fetch(`${fetching.url}/transactions/1`, { method: "DELETE" })).status).toBe(403);
    const outcomes = async () => (await eventsOf(visitor)).map(({ outcome }) => outcome).sort();
    await expect.poll(outcomes, { timeout: 5000 }).toEqual(["aborted", "denied", "failure", "success"]);
    await visitor.close();
    await fetching.close();
  });

  it("reports the visits that its own end cuts, streams of either style", async () => {
    const visitor = await orchestrator.spawn({ name: "listener", scope: ["read:transactions"] });
    const plain = await startLiveService(live, {
      name: "endless",
      routes: ROUTES,
      listener: (_, response) => void response.write("first of many"),
    });
    const endless = () =>
      new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from("first")) });
    const fetching = await startFetchService(live, ROUTES, () => new Response(endless()));
    for (const { url } of [plain, fetching]) {
      const answer = await visitor.fetch(`${url}/transactions/1`);
      expect((await answer.body?.getReader().read())?.done).toBe(false);
    }
    await Promise.all([plain.close(), fetching.close()]);
    expect((await eventsOf(visitor)).map(({ outcome }) => outcome)).toEqual(["aborted", "aborted"]);
    await visitor.close();
  });

  it("of another name than the agent pinned gets no request, and the pinned one does", async () => {
    const before = handled.length;
    const url = `${service.url}/transactions/42`;
    await expect(agent.fetch(url, { verifier: "payroll" })).rejects.toThrow(code("peer_untrusted"));
    expect(handled.length).toBe(before);
    expect((await agent.fetch(url, { verifier: "finance" })).status).toBe(200);
    expect(handled.length).toBe(before + 1);
  });

  it("that is none is told nothing: no intent leaves for a peer without a verifier's SVID", async () => {
    const impostors = [
      "spiffe://acme.test/trustwarden/verifier/finance/inst-1",
      "spiffe://acme.test/team/finance/agent/inst-1",
    ];
    for (const id of impostors) {
      const asked: string[] = [];
      const { key, chain } = issueIdentity(parseSpiffeId(id), createInstanceKey());
      const impostor = createServer(
        { ...SERVER_TLS_OPTIONS, ...key.createTlsOptions(chain) },
        (request, response) => {
          asked.push(request.url ?? "");
          response.end();
        },
      );
      await new Promise<void>((resolve) => impostor.listen(0, "127.0.0.1", resolve));
      const { port } = Object(impostor.address()) as AddressInfo; // the one cast: a TCP server's address
      await expect(agent.fetch(`https://127.0.0.1:${port}/transactions/1`)).rejects.toThrow(
        code("peer_untrusted"),
      );
      expect(asked).toEqual([]);
      impostor.close();
    }
    await expect(agent.fetch("http://127.0.0.1:1/")).rejects.toThrow(code("peer_untrusted"));
  });
});

describe("a ledger that changes its key", () => {
  it("is followed by agents and services, which take promises of the new shard by the new key", async () => {
    const before = agent.receipts.length;
    const turned = turnAnswer.parse(await live.admin("POST", "/v1/ledger/turns", { new_key: true }));
    expect((await agent.fetch(`${service.url}/transactions/42`)).status).toBe(200);
    await agent.act("write:report", "file://behind the turn", null, async () => undefined);
    const kept = agent.receipts.slice(before).map(({ receipt }) => receipt);
    expect(kept).toHaveLength(2);
    const { log_vkey: first } = discovery.parse(await live.admin("GET", "/.well-known/trustwarden"));
    const { name: ledger } = parseVkey(first);
    for (const { acknowledgement, decision_index: index } of kept) {
      expect(index).toBeGreaterThan(turned.first);
      expect(() => verifyAcknowledgement(acknowledgement, first)).toThrow(code("receipt_invalid"));
      expect(verifyAcknowledgement(acknowledgement, vkeyFor(turned.vkey, ledger)).index).toBe(index);
    }
  });
});

describe("a restarted server", () => {
  it("has another id, and agents go on with it: acting, renewing, spawning, stopping", async () => {
    const own = await startLiveServer();
    const ticket = own.ticket({ name: "survivor", scope: ["write:report", "write:ledger"] });
    const survivor = await AgentIdentity.create({ name: "survivor", ticket });
    await survivor.act("write:report", "file://before", null, async () => undefined);
    await own.restart();
    await survivor.act("write:report", "file://after", null, async () => undefined);
    await survivor.renew();
    const child = await survivor.spawn({ name: "child", scope: ["write:report"] });
    await own.restart();
    expect(await survivor.revoke({ child })).toMatchObject({ instances: 1 });
    await Promise.all([child.close(), survivor.close()]);
    await own.close();
  });
});
