/** What else can be stopped than an identity, end to end: a job, a key, a policy version, everything; and the way back. */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { AgentIdentity } from "trustwarden";
import { afterEach, beforeEach, expect, test } from "vitest";
import { enrol, readTicket } from "../sdk/enrol.ts";
import { createInstanceKey } from "../sdk/instance-key.ts";
import { type LiveServer, startLiveServer } from "../sdk/live.test.support.ts";
import { systemRuntime } from "../sdk/runtime.ts";
import { connectServer } from "../sdk/trust-server.ts";

const LONG = { timeout: 60_000 };
let server: LiveServer;
const agents: AgentIdentity[] = [];

beforeEach(async () => {
  server = await startLiveServer();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.close();
  await server.close();
});

async function openAgent(name: string): Promise<AgentIdentity> {
  const agent = await AgentIdentity.create({ name, ticket: server.ticket({ name, scope: ["read:files"] }) });
  agents.push(agent);
  return agent;
}

const stop = async (kind: string, id: string) =>
  Object(await server.admin("POST", "/v1/revocations", { target: { kind, id }, reason: "test" }));

async function act(agent: AgentIdentity, job?: string): Promise<string> {
  const options = job === undefined ? {} : { job };
  for (;;) {
    try {
      return await agent.act("read:files", "disk://a", null, async () => "done", options);
    } catch (error) {
      // A decision that took too long counts for nothing and is asked for anew; anything else is an answer.
      if (Object(error).code !== "lease_expired") return String(Object(error).code);
    }
  }
}

async function lastStop(): Promise<unknown> {
  const { events } = Object(await server.admin("GET", "/v1/events?kind=revoke"));
  return Object(events[0]);
}

test("a stopped job is worked on by nobody, and other work goes on", LONG, async () => {
  const agent = await openAgent("worker");
  expect([await act(agent, "invoices"), await act(agent, "letters"), await act(agent)]).toEqual([
    "done",
    "done",
    "done",
  ]);
  const { epoch, instances } = await stop("job", "invoices");
  expect(epoch).toBeGreaterThan(0);
  expect(instances).toBe(0);
  expect([await act(agent, "invoices"), await act(agent, "letters"), await act(agent)]).toEqual([
    "denied",
    "done",
    "done",
  ]);
  expect(JSON.stringify(await lastStop())).toContain("job:invoices");
  await server.restart();
  expect(await act(agent, "invoices")).toBe("denied");
});

test("a stopped policy version allows nothing", LONG, async () => {
  const agent = await openAgent("worker");
  const { policy } = Object(await server.admin("GET", "/v1/status"));
  await stop("policy", policy.bundle_sha256);
  expect(await act(agent)).toBe("denied");
});

test("a stopped key ends its holder, and is never issued anything", LONG, async () => {
  const [used, unused] = [createInstanceKey(), createInstanceKey()];
  const digest = (key: typeof used) => encodeBase64url(sha256(encodeSpki(key.signer.publicKey)));
  const enrolWith = async (key: typeof used, name: string) => {
    const ticket = readTicket(server.ticket({ name, scope: ["read:files"] }));
    const trust = await connectServer(ticket.address, systemRuntime);
    return enrol({ server: trust, key, envelope: ticket.envelope, runtime: systemRuntime });
  };
  await enrolWith(used, "holder");
  expect((await stop("key", digest(used))).instances).toBe(1);
  await stop("key", digest(unused));
  await expect(enrolWith(unused, "late")).rejects.toMatchObject({ code: "key_reused" });
  await expect(stop("key", "no digest")).rejects.toThrow("404");
});

test("everything stops every agent, and each lives again by a new ticket only", LONG, async () => {
  const old = server.ticket({ name: "third", scope: ["read:files"] });
  const [first, second] = [await openAgent("first"), await openAgent("second")];
  await openAgent("third");
  expect((await stop("everything", "*")).instances).toBe(3);
  for (const agent of [first, second]) expect(await act(agent)).not.toBe("done");
  await expect(AgentIdentity.create({ name: "third", ticket: old })).rejects.toThrow();
});
