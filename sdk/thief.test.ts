/** A thief with an agent's certificate, intents or receipts, against a real server and a real service. */
import { randomBytes } from "node:crypto";
import { Agent } from "node:https";
import { createSecureContext } from "node:tls";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { type BoundRequest, formatRequestCommitment, issueIntent } from "@trustwarden/core/intent.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { askForDecision } from "./decision-answer.ts";
import { type Enrolled, enrol, readTicket } from "./enrol.ts";
import { openHttps, readBody } from "./https-request.ts";
import { createInstanceKey, formatPemChain } from "./instance-key.ts";
import { type LiveServer, type LiveService, startLiveServer, startLiveService } from "./live.test.support.ts";
import { systemRuntime } from "./runtime.ts";
import { connectServer, type TrustServer } from "./trust-server.ts";

const ROUTES = [
  { method: "GET", path: "/t/{id}", action: "read:transactions", resource: "db://t" },
  { method: "POST", path: "/t", action: "write:transactions", resource: "db://t" },
  { method: "DELETE", path: "/t/{id}", action: "delete:transactions", resource: "db://t" },
];
const READ: BoundRequest = { method: "GET", target: "/t/1", body: new Uint8Array() };
const WRITE: BoundRequest = { method: "POST", target: "/t", body: encodeUtf8('{"amount":1}') };
const DELETE: BoundRequest = { method: "DELETE", target: "/t/1", body: new Uint8Array() };

/** An agent whose every message a test composes by hand. */
interface HandAgent extends Enrolled {
  readonly server: TrustServer;
}

interface Signed {
  readonly request: BoundRequest;
  readonly envelope: string;
  readonly headers: Readonly<Record<string, string>>;
}

let live: LiveServer;
let service: LiveService;
let victim: HandAgent;
let thief: HandAgent;
/** Visits that reached the service's own code. */
let handled: { readonly action: string; readonly agent: string; readonly chain: readonly string[] }[] = [];

async function createHandAgent(name: string, from = live): Promise<HandAgent> {
  const scope = ["read:transactions", "write:transactions", "delete:transactions", "write:reports"];
  const ticket = readTicket(from.ticket({ name, scope }));
  const server = await connectServer(ticket.address, systemRuntime);
  const key = createInstanceKey();
  const enrolled = await enrol({ server, key, envelope: ticket.envelope, runtime: systemRuntime });
  return { ...enrolled, server };
}

/** A good intent of the agent for a request, except for `changes`. */
function sign(
  agent: HandAgent,
  request: BoundRequest,
  changes: Partial<Parameters<typeof issueIntent>[0]> = {},
): Signed {
  const { svid, key } = agent.credential;
  const salt = new Uint8Array(randomBytes(32));
  const now = Math.floor(Date.now() / 1000);
  const row = ROUTES.find(({ method }) => method === request.method);
  const { envelope } = issueIntent(
    {
      v: 1,
      event_id: freshEventId(),
      agent: { id: agent.answer.agent_id ?? "", spiffe_id: svid.id, svid_sha256: svid.leaf.sha256 },
      action: row?.action ?? "",
      resource: row?.resource ?? "",
      request: formatRequestCommitment(request, salt),
      params: null,
      aud: service.guardAgents.id,
      job: null,
      time: new Date().toISOString(),
      exp: now + 60,
      seq: 1,
      prev: null,
      seen: null,
      ...changes,
    },
    key.signer,
  );
  const headers = {
    "trustwarden-intent": encodeBase64url(encodeUtf8(envelope)),
    "trustwarden-salt": encodeBase64url(salt),
  };
  return { request, envelope, headers };
}

function freshEventId(): string {
  const hex = randomBytes(16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** Sends over a connection of its own choice; gives status and error code. */
async function send(agent: Agent, request: BoundRequest, headers: Signed["headers"], to = service.url) {
  const { method, target, body } = request;
  const message = await openHttps({
    agent,
    origin: new URL(to),
    method,
    target,
    headers,
    body: body.length > 0 ? body : undefined,
    timeoutMs: 5000,
  });
  const text = Buffer.from(await readBody(message, { maxBytes: 65_536, timeoutMs: 5000 })).toString();
  return { status: message.statusCode, code: Object(Object(parseOrEmpty(text)).error).code };
}

function parseOrEmpty(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the service's own answer.
    return {};
  }
}

const connectionsOf = ({ credential }: HandAgent) =>
  credential.agentFor(parseSpiffeId(service.guardAgents.id));
const refused = { status: 401, code: "principal_refused" };

beforeAll(async () => {
  live = await startLiveServer();
  service = await startLiveService(live, {
    name: "finance",
    routes: ROUTES,
    listener: (_, response, { action, agent }) => {
      handled.push({ action, agent: agent.spiffeId, chain: agent.chain });
      response.end("done");
    },
  });
  victim = await createHandAgent("victim");
  thief = await createHandAgent("thief");
});

beforeEach(() => {
  handled = [];
});

afterAll(async () => {
  for (const { credential, server } of [victim, thief]) {
    credential.retire();
    server.release();
  }
  await service.close();
  await live.close();
});

describe("the rightful agent", () => {
  it("is let in, which is the control of everything below", async () => {
    for (const request of [READ, WRITE, DELETE]) {
      const { headers } = sign(victim, request);
      expect(await send(connectionsOf(victim), request, headers)).toMatchObject({ status: 200 });
    }
    expect(handled.map(({ agent }) => agent)).toEqual(Array(3).fill(victim.credential.svid.id));
  });
});

describe("a thief", () => {
  it("cannot use a stolen certificate without its key (D2)", () => {
    const key = createInstanceKey().createTlsOptions([]).key;
    const cert = formatPemChain(victim.credential.svidChain);
    expect(() => createSecureContext({ key, cert })).toThrow();
  });

  it("cannot use a stolen intent over its own or no connection (D2)", async () => {
    const { headers } = sign(victim, READ);
    expect(await send(connectionsOf(thief), READ, headers)).toEqual(refused);
    const anonymous = new Agent({ rejectUnauthorized: false });
    expect(await send(anonymous, READ, headers)).toEqual(refused);
    expect(service.refusals.slice(-2)).toEqual(["signature_invalid", "no_svid"]);
    anonymous.destroy();
    expect(handled).toEqual([]);
  });

  it("cannot send an intent twice, also at the same time", async () => {
    const { headers } = sign(victim, READ);
    const connections = connectionsOf(victim);
    const first = await Promise.all(Array.from({ length: 10 }, () => send(connections, READ, headers)));
    expect(first.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(await send(connections, READ, headers)).toEqual(refused);
    expect(handled).toHaveLength(1);
  });

  it("cannot turn a read into a delete", async () => {
    const { headers } = sign(victim, READ);
    expect(await send(connectionsOf(victim), DELETE, headers)).toEqual(refused);
    const words = sign(victim, READ, { action: "delete:transactions" });
    expect(await send(connectionsOf(victim), DELETE, words.headers)).toEqual(refused);
    expect(handled).toEqual([]);
  });

  it("cannot alter a body or a target", async () => {
    const { headers } = sign(victim, WRITE);
    const dearer = { ...WRITE, body: encodeUtf8('{"amount":9}') };
    expect(await send(connectionsOf(victim), dearer, headers)).toEqual(refused);
    const other = { ...READ, target: "/t/2" };
    expect(await send(connectionsOf(victim), other, sign(victim, READ).headers)).toEqual(refused);
    expect(handled).toEqual([]);
  });

  it("cannot take another agent's event id for its own: the records are told apart by the SVID", async () => {
    const event_id = freshEventId();
    const rightful = sign(victim, READ, { event_id });
    expect(await send(connectionsOf(victim), READ, rightful.headers)).toMatchObject({ status: 200 });
    const borrowed = sign(thief, READ, { event_id });
    await send(connectionsOf(thief), READ, borrowed.headers);
    const chains = handled.map(({ agent, chain }) => [agent, chain.at(-1)]);
    const allowed = [
      [victim.credential.svid.id, victim.answer.agent_id],
      [thief.credential.svid.id, thief.answer.agent_id],
    ];
    expect(allowed.slice(0, chains.length)).toEqual(chains);
  });

  it("cannot use one event id of its own for two things", async () => {
    const event_id = freshEventId();
    const first = sign(victim, READ, { event_id });
    const second = sign(victim, DELETE, { event_id });
    expect(await send(connectionsOf(victim), READ, first.headers)).toMatchObject({ status: 200 });
    const { status } = await send(connectionsOf(victim), DELETE, second.headers);
    expect([401, 409]).toContain(status);
    expect(handled.map(({ action }) => action)).toEqual(["read:transactions"]);
  });

  it("cannot claim to be another agent in words that it signs itself", async () => {
    const { id, spiffe_id } = { id: victim.answer.agent_id ?? "", spiffe_id: victim.credential.svid.id };
    const { sha256 } = thief.credential.svid.leaf;
    const posing = [
      { id, spiffe_id, svid_sha256: sha256 },
      { id, spiffe_id: thief.credential.svid.id, svid_sha256: sha256 },
      { id, spiffe_id, svid_sha256: victim.credential.svid.leaf.sha256 },
    ];
    for (const agent of posing) {
      expect(await send(connectionsOf(thief), READ, sign(thief, READ, { agent }).headers)).toEqual(refused);
    }
    expect(handled).toEqual([]);
  });

  it("cannot show a service a decision made for its own process, nor the intent behind it", async () => {
    const { server, credential } = thief;
    const { server_id } = server.discovery;
    const self = sign(thief, READ, {
      aud: server_id,
      request: null,
      action: "write:reports",
      resource: "file://r",
    });
    const { serverAgent, svidChain } = credential;
    const answer = await askForDecision(server, { agent: serverAgent, intent: self.envelope, svidChain });
    expect(answer).toMatchObject({ allow: true, enforcement: "self" });
    const receipt = { "trustwarden-receipt": formatReceiptHeader(answer.receipt) };
    expect(await send(connectionsOf(thief), READ, receipt)).toEqual(refused);
    expect(await send(connectionsOf(thief), READ, { ...self.headers, ...receipt })).toEqual(refused);
    expect(handled).toEqual([]);
  });

  it("cannot bring an intent for a service to the server itself, as if it were the service", async () => {
    const { envelope } = sign(thief, READ);
    const { serverAgent, svidChain } = thief.credential;
    const asking = askForDecision(thief.server, { agent: serverAgent, intent: envelope, svidChain });
    await expect(asking).rejects.toThrow(expect.objectContaining({ code: "principal_refused" }));
    // Nor was it used up by that: refused is not acted on.
    const stolen = askForDecision(thief.server, {
      agent: serverAgent,
      intent: sign(victim, READ, { aud: thief.server.discovery.server_id, request: null }).envelope,
      svidChain: victim.credential.svidChain,
    });
    await expect(stolen).rejects.toThrow(expect.objectContaining({ code: "principal_refused" }));
  });

  it("cannot find an ambiguous path that is decided as one thing and served as another (E2)", async () => {
    for (const target of ["//t/1", "/t/../t/1", "/t%2f1", "/t/1;x", "/t/1/"]) {
      const request = { ...READ, target };
      const { status } = await send(connectionsOf(victim), request, sign(victim, request).headers);
      expect(status, target).toBe(400);
    }
    expect(handled).toEqual([]);
  });

  it("cannot make the service read more than a mebibyte, or headers twice", async () => {
    const huge = { ...WRITE, body: new Uint8Array(1_048_577) };
    expect(await send(connectionsOf(victim), huge, sign(victim, huge).headers)).toMatchObject({
      status: 413,
    });
    const { headers } = sign(victim, READ);
    const intent = headers["trustwarden-intent"] ?? "";
    const doubled = { ...headers, "trustwarden-intent": `${intent}, ${intent}` };
    expect(await send(connectionsOf(victim), READ, doubled)).toMatchObject({ status: 400 });
    expect(handled).toEqual([]);
  });
});

describe("a service", () => {
  it("that has let go of its lease refuses everybody at once", async () => {
    const left = await startLiveService(live, {
      name: "leaving",
      routes: ROUTES,
      listener: (_, response) => void response.end("done"),
    });
    const visit = () => {
      const agent = victim.credential.agentFor(parseSpiffeId(left.guardAgents.id));
      return send(agent, READ, sign(victim, READ, { aud: left.guardAgents.id }).headers, left.url);
    };
    expect(await visit()).toMatchObject({ status: 200 });
    await left.guardAgents.close();
    expect(await visit()).toEqual({ status: 503, code: "lease_expired" });
    await left.close();
  });

  it("that has lost its server refuses everybody", async () => {
    const lonely = await startLiveServer();
    let visits = 0;
    const left = await startLiveService(lonely, {
      name: "finance",
      routes: ROUTES,
      listener: (_, response) => {
        visits += 1;
        response.end("done");
      },
    });
    const visitor = await createHandAgent("visitor", lonely);
    const visit = () => {
      const agent = visitor.credential.agentFor(parseSpiffeId(left.guardAgents.id));
      return send(agent, READ, sign(visitor, READ, { aud: left.guardAgents.id }).headers, left.url);
    };
    expect(await visit()).toMatchObject({ status: 200 });
    const closing = lonely.close();
    await expect.poll(async () => (await visit()).status, { timeout: 5000 }).toBeGreaterThanOrEqual(500);
    const before = visits;
    expect([502, 503]).toContain((await visit()).status);
    expect(visits).toBe(before);
    visitor.credential.retire();
    await left.close();
    await closing;
  });
});
