/**
 * Leases of two servers that share one state store in a real PostgreSQL, over real TLS sockets: once a revocation is
 * answered no verifier of either acts on what was before, whatever became of the other server or of its way to the
 * database.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Notices } from "@trustwarden/core/notices.ts";
import { LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { verdict } from "../sdk/lease.test.support.ts";
import { createLease, type Lease } from "../sdk/lease.ts";
import { systemRuntime } from "../sdk/runtime.ts";
import { createTestDomain, startTestServer } from "../sdk/tls.test.support.ts";
import { HAS_NATS, startNats, type TestNats } from "../test/support/nats.ts";
import { POSTGRESQL_BIN } from "../test/support/postgresql.ts";
import { natsSettings } from "./nats/config.ts";
import { NatsNotices } from "./nats/nats-notices.ts";
import { openReplica, type Replica } from "./replicas.ts";
import {
  contextAt,
  createOwnerIn,
  createTestAuthority,
  NOW_MS,
  RULES,
  revokeIn,
  ticketCommand,
} from "./store/commands/fixture.test.support.ts";
import { startProxy } from "./store/postgres-state/database-proxy.test.support.ts";
import type { StateSettings } from "./store/postgres-state/protocol.ts";
import { shareStateServer } from "./store/postgres-state/state-server.test.support.ts";
import { createSqliteStore, type SqliteStore } from "./store/sqlite.ts";

const READY_MS = 120_000;
const PATIENT = { timeout: 60_000, interval: 10 };
const { keys } = createTestAuthority();
const domain = createTestDomain();
const serverSvid = domain.issue(["trustwarden", "server", "inst-S"]);
const { server: database, folder } = shareStateServer("leases of servers that share a store");
/** A verifier that was cut off meanwhile holds everything of before for void. */
const KNOWS = ["identity_revoked", "decision_stale"];
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface House {
  readonly store: SqliteStore;
  readonly replica: Replica;
  /** A verifier of this server, with its lease. */
  verifier(): Promise<Lease>;
  /** Stops an instance by this server; resolves when that is over. */
  stop(instanceId: string): ReturnType<Replica["feed"]["publish"]>;
}

/** One server: its copy of the store, its feed and its listener. */
async function openHouse(settings: StateSettings, notices?: Notices): Promise<House> {
  const store = await createSqliteStore({
    dataDir: mkdtempSync(join(folder, "data-")),
    remote: { ...settings, hasNotices: notices !== undefined },
    keys,
    rules: RULES,
    nowMs: () => NOW_MS,
    onFatal: () => undefined,
  });
  cleanups.push(() => store.close());
  await store.commands.issueServerSvid({ context: contextAt(NOW_MS), reason: "start" });
  const replica = openReplica({
    store,
    settings,
    random: (length) => new Uint8Array(randomBytes(length)),
    feed: { clock: { monoMs: () => performance.now() } },
    notices,
    onUnannounced: (error) => {
      throw error;
    },
  });
  cleanups.push(() => replica.close());
  const { server } = await startTestServer(serverSvid);
  const sockets = new Set<Duplex>();
  server.on("upgrade", (_request, socket: Duplex) => {
    sockets.add(socket);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${LEASE_PROTOCOL}\r\nConnection: Upgrade\r\n\r\n`,
    );
    replica.feed.accept(socket, { spiffeId: "spiffe://acme.test/verifier", instanceId: "inst-V" });
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return {
    store,
    replica,
    verifier: () => openVerifier(port),
    stop: async (instanceId) => {
      const { epoch } = await revokeIn(store, { kind: "instance", id: instanceId });
      return replica.feed.publish([{ kind: "instance", id: instanceId }], epoch);
    },
  };
}

async function openVerifier(port: number): Promise<Lease> {
  const svid = domain.issue(["trustwarden", "verifier", "forum", "inst-V"]);
  const lease = createLease({
    stopUrl: `https://127.0.0.1:${port}`,
    peer: {
      svid: () => svid.current,
      bundle: () => domain.bundle,
      acceptPeer: (id) => id === serverSvid.id,
      refusal: "server_untrusted",
    },
    runtime: systemRuntime,
    readyTimeoutMs: READY_MS,
  });
  cleanups.push(() => lease.close());
  await lease.ready();
  return lease;
}

async function openBoth(
  settings: StateSettings,
  {
    of = (each) => each,
    notices,
  }: { readonly of?: (each: StateSettings) => StateSettings; readonly notices?: () => Notices } = {},
) {
  const left = await openHouse(settings, notices?.());
  const right = await openHouse(of(settings), notices?.());
  const owner = await createOwnerIn(left.store);
  const { value } = await left.store.commands.issue(ticketCommand(owner, { name: "agent" }));
  const verifiers = await Promise.all([left.verifier(), right.verifier()]);
  const act = { epoch: left.replica.feed.epoch, ids: [value.instanceId] };
  const verdicts = () => verifiers.map((lease) => verdict(lease, act));
  await vi.waitFor(() => expect(verdicts()).toEqual(["allowed", "allowed"]), PATIENT);
  return { left, right, verifiers, verdicts, owner, agent: value.instanceId };
}

const shared = () => database.create({ goesOn: false, isShared: true });

describe.skipIf(POSTGRESQL_BIN === undefined)("two servers that share a store", () => {
  test("stop an agent at the verifiers of both before either says so", async () => {
    const { left, right, verifiers, verdicts, agent } = await openBoth(await shared());
    const told = await right.stop(agent);
    expect(verdicts()).not.toContain("allowed");
    expect(told.acked + told.expired + told.behind.acked + told.behind.expired).toBe(2);
    await vi.waitFor(() => expect(verdicts().filter((said) => !KNOWS.includes(said))).toEqual([]), PATIENT);
    expect(verifiers.map(({ epoch }) => epoch)).toEqual([1, 1]);
    await vi.waitFor(() => expect(left.replica.feed.leasesBehind).toBe(1), PATIENT);
  });

  test("a server that is cut off from the database gives nothing, and a stop by the other does not wait for it", async () => {
    const proxy = await startProxy(database.postgresql.port);
    cleanups.push(() => proxy.close());
    const { left, right, verdicts, agent } = await openBoth(await shared(), { of: proxy.of });
    proxy.hang();
    const told = await left.stop(agent);
    expect(verdicts()).not.toContain("allowed");
    expect(told.behind.acked).toBe(0);
    expect(right.replica.leftMs()).toBe(0);
    proxy.cut();
    proxy.mend();
    // Back again it has what was stopped, and says so.
    await vi.waitFor(() => expect(verdicts().filter((said) => !KNOWS.includes(said))).toEqual([]), PATIENT);
  });

  test("a server that ends says nothing, and what its verifiers still hold is waited for", async () => {
    const { left, right, verdicts, agent } = await openBoth(await shared());
    await right.replica.close();
    const told = await left.stop(agent);
    expect(verdicts()).not.toContain("allowed");
    expect(told.behind.acked).toBe(0);
  });
});

describe.skipIf(POSTGRESQL_BIN === undefined || !HAS_NATS)("two servers with their notices over NATS", () => {
  let nats: TestNats;
  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(() => nats.close());

  const notices = (): Notices => {
    const settings = natsSettings.parse(nats.settings);
    const opened = new NatsNotices({ settings, name: "test", onLink: () => undefined });
    cleanups.push(() => opened.close());
    return opened;
  };

  test("stop an agent at the verifiers of both, with NATS and when it is gone, and wake no session of the database", async () => {
    const settings = await shared();
    const { left, right, verdicts, owner, agent } = await openBoth(settings, { notices });
    const [{ listening } = {}] = await database.postgresql.admin(
      `select count(*)::int as listening from pg_stat_activity
        where datname = '${settings.login.database}' and query ilike 'listen %'`,
    );
    expect(listening).toBe(0);
    const told = await right.stop(agent);
    expect(verdicts()).not.toContain("allowed");
    expect(told.acked + told.expired + told.behind.acked + told.behind.expired).toBe(2);
    await vi.waitFor(() => expect(verdicts().filter((said) => !KNOWS.includes(said))).toEqual([]), PATIENT);

    const { value } = await left.store.commands.issue(ticketCommand(owner, { name: "late" }));
    const verifiers = [await left.verifier(), await right.verifier()];
    const act = { epoch: left.replica.feed.epoch, ids: [value.instanceId] };
    const late = () => verifiers.map((lease) => verdict(lease, act));
    await vi.waitFor(() => expect(late()).toEqual(["allowed", "allowed"]), PATIENT);
    await nats.stop();
    await left.stop(value.instanceId);
    expect(late()).not.toContain("allowed");
    await vi.waitFor(() => expect(late().filter((said) => !KNOWS.includes(said))).toEqual([]), PATIENT);
  });
});
