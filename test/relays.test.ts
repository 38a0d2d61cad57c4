/** Relays end to end: a real server, relays with identities of their own, and verifiers behind them. */
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { LEASE_MS, LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";
import { createFeed } from "@trustwarden/server/feed/feed.ts";
import { AgentIdentity, verifyAgent } from "trustwarden";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { startRelay } from "../cli/relay/relay.ts";
import { enrol, readTicket } from "../sdk/enrol.ts";
import { createInstanceKey } from "../sdk/instance-key.ts";
import { verdict } from "../sdk/lease.test.support.ts";
import { createLease, type Lease } from "../sdk/lease.ts";
import { type LiveServer, startLiveServer } from "../sdk/live.test.support.ts";
import { systemRuntime } from "../sdk/runtime.ts";
import { SERVER_TLS_OPTIONS } from "../sdk/tls.ts";
import { connectServer } from "../sdk/trust-server.ts";

const LONG = { timeout: 60_000 };
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function openServer(): Promise<LiveServer> {
  const server = await startLiveServer();
  cleanups.push(() => server.close());
  return server;
}

async function relayTicket(server: LiveServer, name: string): Promise<string> {
  const body = { name, ttl_seconds: 3600, relay: true };
  return String(Object(await server.admin("POST", "/v1/verifier-tickets", body)).ticket);
}

async function openRelay(server: LiveServer, upstream: readonly string[] = []) {
  const relay = await startRelay({ ticket: await relayTicket(server, "rack-7"), upstream });
  relay.server.listen(0, "127.0.0.1");
  await once(relay.server, "listening");
  const { port } = relay.server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= relay.close();
    return closing;
  };
  cleanups.push(close);
  return { relay, url: `https://127.0.0.1:${port}`, close };
}

async function enrolWith(ticketText: string) {
  const ticket = readTicket(ticketText);
  const trust = await connectServer(ticket.address, systemRuntime);
  const { envelope } = ticket;
  const enrolled = await enrol({ server: trust, key: createInstanceKey(), envelope, runtime: systemRuntime });
  return { trust, ...enrolled };
}

async function openVerifier(
  server: LiveServer,
  relays: readonly string[],
  readyTimeoutMs = 30_000,
): Promise<Lease> {
  return openLease(await enrolWith(await server.verifierTicket("watcher")), relays, readyTimeoutMs);
}

function openLease(
  { trust, credential }: Awaited<ReturnType<typeof enrolWith>>,
  relays: readonly string[],
  readyTimeoutMs: number,
): Lease {
  const lease = createLease({
    stopUrl: trust.discovery.stop_url,
    relays,
    peer: trust.peerCheck(() => credential.tls),
    runtime: systemRuntime,
    readyTimeoutMs,
  });
  cleanups.push(() => lease.close());
  return lease;
}

async function openAgent(server: LiveServer, name: string): Promise<AgentIdentity> {
  const ticket = server.ticket({ name, scope: ["read:files"] });
  const agent = await AgentIdentity.create({ name, ticket });
  cleanups.push(() => agent.close());
  return agent;
}

const stop = async (server: LiveServer, id: string) =>
  Object(await server.admin("POST", "/v1/revocations", { target: { kind: "instance", id } }));

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("a stop completes when the verifiers behind a relay of a relay have acknowledged", LONG, async () => {
  const server = await openServer();
  const first = await openRelay(server);
  const second = await openRelay(server, [first.url]);
  const leases = await Promise.all([
    openVerifier(server, [first.url]),
    openVerifier(server, [second.url]),
    openVerifier(server, [second.url]),
  ]);
  await Promise.all(leases.map((lease) => lease.ready()));
  const agent = await openAgent(server, "worker");
  const act = { epoch: first.relay.status().epoch, ids: [agent.instanceId] };
  expect(leases.map((lease) => verdict(lease, act))).toEqual(["allowed", "allowed", "allowed"]);
  const stopped = await stop(server, agent.instanceId);
  expect(leases.map((lease) => verdict(lease, act))).not.toContain("allowed");
  const { acked, expired, behind_relays: behind } = stopped;
  expect(acked + expired).toBe(1);
  expect(behind.acked + behind.expired).toBe(expired === 0 ? 4 : 0);
  await until(() => second.relay.status().acknowledged === stopped.epoch);
  const status = Object(await server.admin("GET", "/v1/leases"));
  expect(status).toMatchObject({ epoch: stopped.epoch, leases: 1, changes: [] });
  expect(first.relay.status()).toMatchObject({ leases: 2, refused: 0 });
});

test(
  "a verifier whose relay ends goes on with the next, which knows what was stopped since",
  LONG,
  async () => {
    const server = await openServer();
    const relays = [await openRelay(server), await openRelay(server)];
    const lease = await openVerifier(
      server,
      relays.map(({ url }) => url),
    );
    await lease.ready();
    const agent = await openAgent(server, "worker");
    const at = relays.find(({ relay }) => relay.status().leases === 1);
    const other = relays.find((one) => one !== at);
    await at?.close();
    await until(() => other?.relay.status().leases === 1);
    await stop(server, agent.instanceId);
    await until(() => lease.epoch === Number(other?.relay.status().epoch));
    await lease.ready();
    expect(verdict(lease, { epoch: lease.epoch - 1, ids: [agent.instanceId] })).not.toBe("allowed");
    expect(verdict(lease, { epoch: lease.epoch, ids: ["inst-other"] })).toBe("allowed");
  },
);

test("a relay's key opens its own lease and nothing else", LONG, async () => {
  const server = await openServer();
  const { trust, credential, answer } = await enrolWith(await relayTicket(server, "rack-7"));
  expect(answer.spiffe_id).toMatch(/^spiffe:\/\/acme\.test\/trustwarden\/relay\/rack-7\/inst-/);
  const agent = trust.createAgent(() => credential.tls);
  cleanups.push(() => agent.destroy());
  const id = answer.spiffe_id.split("/").at(-1);
  const body = new TextEncoder().encode(JSON.stringify({ target: { kind: "instance", id } }));
  const asked = trust.call({ agent, method: "POST", target: "/v1/revocations", body, schema: z.unknown() });
  await expect(asked).rejects.toMatchObject({ code: "principal_refused" });
  const read = trust.call({
    agent,
    method: "GET",
    target: "/v1/opa/bundles/any.tar.gz",
    schema: z.unknown(),
  });
  await expect(read).rejects.toMatchObject({ code: "principal_refused" });
});

test("nobody but a relay is taken for one, and a ticket is for one kind", LONG, async () => {
  const server = await openServer();
  const { credential } = await enrolWith(await server.verifierTicket("pretender"));
  const pretender = createServer({
    ...SERVER_TLS_OPTIONS,
    ...credential.key.createTlsOptions(credential.svidChain),
  });
  pretender.listen(0, "127.0.0.1");
  await once(pretender, "listening");
  cleanups.push(() => pretender.close());
  const { port } = pretender.address() as AddressInfo;
  const lease = await openVerifier(server, [`https://127.0.0.1:${port}`], 500);
  await expect(lease.ready()).rejects.toThrow(new TrustWardenError("server_untrusted").message);
  const misused = startRelay({ ticket: await server.verifierTicket("db"), upstream: [] });
  await expect(misused).rejects.toMatchObject({ code: "ticket_mismatch" });
  const asService = verifyAgent({ routes: [], ticket: await relayTicket(server, "rack-8") });
  await expect(asService).rejects.toMatchObject({ code: "ticket_mismatch" });
});

test("more relays than can be tried are refused, before a ticket is spent", LONG, async () => {
  const server = await openServer();
  const [enough, tooMany] = [64, 65].map((count) =>
    Array.from({ length: count }, () => "https://127.0.0.1:1"),
  );
  const ticket = await server.verifierTicket("many");
  const refused = verifyAgent({ routes: [], ticket, relays: tooMany ?? [] });
  await expect(refused).rejects.toMatchObject({
    code: "config_invalid",
    details: { field: "relays", max: 64 },
  });
  const asRelay = startRelay({ ticket: await relayTicket(server, "rack-9"), upstream: tooMany ?? [] });
  await expect(asRelay).rejects.toMatchObject({ code: "config_invalid" });
  const lease = openLease(await enrolWith(ticket), enough ?? [], 100);
  await expect(lease.ready()).rejects.toMatchObject({ code: "server_unreachable" });
});

test("a relay has nothing for a verifier that was stopped", LONG, async () => {
  const server = await openServer();
  const { relay, url } = await openRelay(server);
  const late = await enrolWith(await server.verifierTicket("late"));
  await stop(server, String(late.answer.spiffe_id));
  await until(() => relay.status().epoch > 0);
  const lease = openLease(late, [url], 500);
  await expect(lease.ready()).rejects.toMatchObject({ code: "server_unreachable" });
  expect(relay.status().refused).toBeGreaterThan(0);
  expect(relay.status().leases).toBe(0);
});

test("a relay that starts after a stop knows of it, and a gap does not make it forget", LONG, async () => {
  const server = await openServer();
  const late = await enrolWith(await server.verifierTicket("late"));
  const first = await openRelay(server);
  const before = openLease(late, [first.url], 30_000);
  await before.ready();
  await first.close();
  await stop(server, String(late.answer.spiffe_id));
  // Another process at another place: it has heard of nothing.
  const second = await openRelay(server);
  expect(second.relay.status().epoch).toBeGreaterThan(0);
  const lease = openLease(late, [second.url], 1_500);
  await expect(lease.ready()).rejects.toMatchObject({ code: "server_unreachable" });
  expect(second.relay.status()).toMatchObject({ leases: 0 });
  const other = await openVerifier(server, [second.url]);
  await other.ready();
  expect(second.relay.status()).toMatchObject({ leases: 1 });
});

/** A relay's identity in the hands of somebody who serves what he likes. */
async function openLiar(server: LiveServer) {
  const { credential, answer } = await enrolWith(await relayTicket(server, "liar"));
  const feed = createFeed({
    store: { epoch: () => 5, targetsSince: () => [] },
    clock: { monoMs: () => systemRuntime.monotonicMs() },
    leftMs: () => LEASE_MS,
  });
  const listener = createServer({
    ...SERVER_TLS_OPTIONS,
    ...credential.key.createTlsOptions(credential.svidChain),
  });
  const seen = { connections: 0, upgrades: 0 };
  listener.on("connection", () => {
    seen.connections += 1;
  });
  listener.on("upgrade", (_request, socket) => {
    seen.upgrades += 1;
    socket.on("error", () => socket.destroy());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LEASE_PROTOCOL}\r\n\r\n`,
    );
    feed.accept(socket, { spiffeId: "spiffe://acme.test/any", instanceId: "inst-any" });
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  cleanups.push(async () => {
    await feed.close();
    listener.close();
  });
  const { port } = listener.address() as AddressInfo;
  const instanceId = String(answer.spiffe_id).split("/").at(-1) ?? "";
  return { feed, seen, instanceId, url: `https://127.0.0.1:${port}` };
}

test(
  "a verifier does not come back to a relay that was stopped, however well it still serves",
  LONG,
  async () => {
    const server = await openServer();
    const { feed, seen, instanceId, url } = await openLiar(server);
    const lease = await openVerifier(server, [url], 500);
    await lease.ready();
    void feed.pass([{ kind: "instance", id: "inst-another" }], 6);
    await until(() => lease.epoch === 6);
    void feed.pass([{ kind: "instance", id: instanceId }], 7);
    await until(() => lease.epoch === 7);
    // It tries again, and ends each try before it has said anything.
    const { upgrades, connections } = seen;
    await until(() => seen.connections >= connections + 3);
    expect(seen.upgrades).toBe(upgrades);
    await until(() => verdict(lease, { epoch: 7, ids: [] }) === "lease_expired");
    await expect(lease.ready()).rejects.toThrow(new TrustWardenError("server_untrusted").message);
  },
);

test(
  "a verifier leaves a relay whose feed stays behind the server's decisions for a lease",
  LONG,
  async () => {
    const server = await openServer();
    const { feed, seen, url } = await openLiar(server);
    const lease = await openVerifier(server, [url]);
    await lease.ready();
    // A decision of the server names an epoch that this relay keeps to itself.
    await until(() => verdict(lease, { epoch: 6, ids: [] }) === "allowed");
    const { upgrades } = seen;
    await until(() => verdict(lease, { epoch: 5, ids: [] }) === "lease_expired" && seen.upgrades > upgrades);
    // Coming back, or another connection, does not make it abreast; hearing of the epoch does.
    expect(() => lease.requireFresh()).toThrow("lease_expired");
    void feed.pass([{ kind: "instance", id: "inst-another" }], 6);
    await until(() => lease.epoch === 6);
    await lease.ready();
  },
);
