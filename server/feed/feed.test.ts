/**
 * Feed and lease together, over real TLS sockets on the loopback interface.
 */
import { once } from "node:events";
import type { Server } from "node:https";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  connect as tcpConnect,
} from "node:net";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeBeat, LEASE_PROTOCOL, type RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import { afterEach, describe, expect, test } from "vitest";
import { verdict } from "../../sdk/lease.test.support.ts";
import { createLease, type Lease } from "../../sdk/lease.ts";
import { type Runtime, systemRuntime } from "../../sdk/runtime.ts";
import { createTestDomain, startTestServer, type TestSvid } from "../../sdk/tls.test.support.ts";
import { openFaultyLink } from "../../test/support/faulty-link.ts";
import { createFeed, type Feed, type FeedEvent } from "./feed.ts";

const ANSWER_101 = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${LEASE_PROTOCOL}\r\nConnection: Upgrade\r\n\r\n`;
const LONGEST_LEASE_MS = 735;

const domain = createTestDomain();
const serverSvid = domain.issue(["trustwarden", "server", "inst-S"]);

type StoredTarget = RevocationTarget & { readonly epoch: number };

/** One server with its durable targets; `restart` starts another process on the same port and store. */
interface House {
  feed: Feed;
  readonly url: string;
  readonly port: number;
  readonly stored: StoredTarget[];
  readonly events: FeedEvent[];
  readonly sockets: TLSSocket[];
  live: boolean;
  isStoreBroken: boolean;
  isListenerBroken: boolean;
  /** Upgrades, and says nothing to its end, not even hello. */
  isMute: boolean;
  commit(target: RevocationTarget): { readonly targets: readonly RevocationTarget[]; readonly epoch: number };
  revoke(target: RevocationTarget): ReturnType<Feed["publish"]>;
  restart(): Promise<void>;
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function openHouse(): Promise<House> {
  const first = await startTestServer(serverSvid);
  let server: Server = first.server;
  const stored: StoredTarget[] = [];
  const epochOf = () => 10 + stored.length;
  const house: House = {
    feed: newFeed(),
    url: first.url,
    port: first.port,
    stored,
    events: [],
    sockets: [],
    live: true,
    isStoreBroken: false,
    isListenerBroken: false,
    isMute: false,
    commit: (target) => {
      stored.push({ ...target, epoch: epochOf() + 1 });
      return { targets: [target], epoch: epochOf() };
    },
    revoke: (target) => {
      const { targets, epoch } = house.commit(target);
      return house.feed.publish(targets, epoch);
    },
    restart: async () => {
      await stop();
      house.feed = newFeed();
      ({ server } = await startTestServer(serverSvid, undefined, first.port));
      listen();
    },
  };
  function newFeed(): Feed {
    return createFeed({
      store: {
        epoch: epochOf,
        targetsSince: (epoch) => {
          if (house.isStoreBroken) throw new Error("the disk is gone");
          return stored.filter((target) => target.epoch > epoch);
        },
      },
      clock: { monoMs: () => performance.now() },
      onEvent: (event) => house.events.push(event),
      onPush: () => {
        if (house.isListenerBroken) throw new Error("planted");
      },
    });
  }
  function listen(): void {
    server.on("upgrade", (incoming, socket: TLSSocket) => {
      expect(incoming.headers.upgrade).toBe(LEASE_PROTOCOL);
      house.sockets.push(socket);
      socket.write(ANSWER_101);
      const uri = socket.getPeerX509Certificate()?.subjectAltName?.slice("URI:".length) ?? "";
      const isFollower = uri.includes("/agent-of-a-launcher/");
      const instanceId = uri.split("/").at(-1) ?? "";
      const verifier = { spiffeId: uri, instanceId, isFollower, isLive: () => house.live };
      if (house.isMute) drip(socket);
      else house.feed.accept(socket, verifier);
    });
  }
  async function stop(): Promise<void> {
    for (const socket of house.sockets.splice(0)) socket.destroy();
    await house.feed.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  listen();
  cleanups.push(stop);
  return house;
}

function verifierSvid(name: string): TestSvid {
  return domain.issue(["trustwarden", "verifier", "forum", `inst-${name}`]);
}

function openLease(
  url: string,
  { svid = verifierSvid("A"), runtime = systemRuntime, readyTimeoutMs = 20_000, headers = () => ({}) } = {},
): Lease {
  const lease = createLease({
    stopUrl: url,
    peer: {
      svid: () => svid.current,
      bundle: () => domain.bundle,
      acceptPeer: (id) => id === serverSvid.id,
      refusal: "server_untrusted",
    },
    runtime,
    readyTimeoutMs,
    headers,
  });
  cleanups.push(() => lease.close());
  return lease;
}

/** Bytes that never become a line. */
function drip(socket: TLSSocket): void {
  const dripping = setInterval(() => socket.write("{"), 100);
  socket.once("close", () => clearInterval(dripping));
}

/** A wire between two ports whose connections can go dead without either end noticing; new ones are not. */
async function openWire(port: number): Promise<{ readonly url: string; cut(): void }> {
  const ends: Socket[] = [];
  let cuts = 0;
  const wire = createTcpServer((near) => {
    const since = cuts;
    const far = tcpConnect(port, "127.0.0.1");
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      ends.push(from);
      from.on("data", (chunk) => cuts > since || to.write(chunk));
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => wire.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const end of ends) end.destroy();
    return new Promise((resolve) => wire.close(resolve));
  });
  const { port: own } = wire.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${own}`,
    cut: () => {
      cuts += 1;
    },
  };
}

/** A verifier by hand: upgraded, and then whatever the test writes. */
async function openRaw(port: number, svid = verifierSvid("RAW")): Promise<TLSSocket> {
  const socket = tlsConnect({
    port,
    host: "127.0.0.1",
    key: svid.key,
    cert: svid.cert,
    rejectUnauthorized: false,
  });
  cleanups.push(() => socket.destroy());
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  socket.write(
    `GET /v1/lease HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${LEASE_PROTOCOL}\r\n\r\n`,
  );
  await once(socket, "data");
  return socket;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("a revocation", () => {
  test("reaches 20 verifiers, each of which acknowledges and stops", async () => {
    const house = await openHouse();
    const leases = Array.from({ length: 20 }, (_, index) =>
      openLease(house.url, { svid: verifierSvid(`V${index}`) }),
    );
    await Promise.all(leases.map((lease) => lease.ready()));
    await sleep(LONGEST_LEASE_MS);
    const before = { epoch: 10, ids: ["own_1", "agt_1", "inst-1"] };
    expect(leases.map((lease) => verdict(lease, before))).toEqual(Array(20).fill("allowed"));
    const published = await house.revoke({ kind: "agent", id: "agt_1" });
    expect(published).toMatchObject({ acked: 20, expired: 0 });
    expect(leases.map((lease) => verdict(lease, before))).toEqual(Array(20).fill("identity_revoked"));
    const other = { epoch: 10, ids: ["own_2", "agt_2"] };
    expect(leases.map((lease) => verdict(lease, other))).toEqual(Array(20).fill("allowed"));
    expect(leases.map((lease) => lease.epoch)).toEqual(Array(20).fill(11));
    expect(house.feed.leases).toBe(20);
  });

  test("is complete when a verifier that was cut off has lost its lease", async () => {
    const house = await openHouse();
    const wire = await openWire(house.port);
    const near = openLease(house.url);
    const far = openLease(wire.url);
    await Promise.all([near.ready(), far.ready()]);
    await sleep(LONGEST_LEASE_MS);
    wire.cut();
    const act = { epoch: 10, ids: ["agt_1"] };
    expect(verdict(far, act)).toBe("allowed");
    expect(await house.revoke({ kind: "agent", id: "agt_1" })).toMatchObject({ acked: 1, expired: 1 });
    expect(verdict(near, act)).toBe("identity_revoked");
    expect(verdict(far, act)).toBe("lease_expired");
  });

  test("waits for the lease of a verifier whose connection just broke", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    await sleep(LONGEST_LEASE_MS);
    for (const socket of house.sockets) socket.destroy();
    await until(() => house.feed.leases === 0);
    expect(verdict(lease, { epoch: 10, ids: ["agt_1"] })).toBe("allowed");
    expect(await house.revoke({ kind: "agent", id: "agt_1" })).toMatchObject({ expired: 1 });
    expect(verdict(lease, { epoch: 10, ids: ["agt_1"] })).not.toBe("allowed");
  });

  test("gives a reader that stands still no lease until it has read on, and is held up by it once", async () => {
    const house = await openHouse();
    const socket = await openRaw(house.port);
    const told: string[] = [];
    let ack = 10;
    const beat = () => socket.write(encodeBeat({ nonce: Buffer.alloc(16).toString("base64url"), ack }));
    const beating = setInterval(beat, 50);
    cleanups.push(() => clearInterval(beating));
    beat();
    await sleep(LONGEST_LEASE_MS);
    expect(await house.revoke({ kind: "agent", id: "agt_1" })).toMatchObject({ acked: 0, expired: 1 });
    await sleep(LONGEST_LEASE_MS);
    expect(house.feed.leases).toBe(1);
    expect(await house.revoke({ kind: "agent", id: "agt_2" })).toMatchObject({ acked: 0, expired: 0 });
    socket.on("data", (chunk) => told.push(String(chunk)));
    await sleep(200);
    expect(told.join("")).not.toContain("echo");
    ack = 12;
    await until(() => told.join("").includes("echo"));
    const published = house.revoke({ kind: "agent", id: "agt_3" });
    ack = 13;
    expect(await published).toMatchObject({ acked: 1, expired: 0 });
  });

  test("of a verifier cuts it, and is complete when its lease has run out", async () => {
    const house = await openHouse();
    const svid = verifierSvid("GONE");
    const lease = openLease(house.url, { svid });
    await lease.ready();
    house.live = false;
    expect(await house.revoke({ kind: "instance", id: "inst-GONE" })).toMatchObject({ acked: 0, expired: 1 });
    expect(verdict(lease, { epoch: 10, ids: [] })).toBe("lease_expired");
    const reasons = house.events.filter((event) => event.kind === "ended").map((event) => event.reason);
    expect(new Set(reasons)).toEqual(new Set(["revoked"]));
  });

  test("carries the ones below it when commits are published out of order", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    const first = house.commit({ kind: "agent", id: "agt_1" });
    const second = house.commit({ kind: "agent", id: "agt_2" });
    const both = [
      house.feed.publish(second.targets, second.epoch),
      house.feed.publish(first.targets, first.epoch),
    ];
    expect(await Promise.all(both)).toMatchObject([{ acked: 1 }, { acked: 1 }]);
    expect(verdict(lease, { epoch: 10, ids: ["agt_1"] })).toBe("identity_revoked");
    expect(verdict(lease, { epoch: 10, ids: ["agt_2"] })).toBe("identity_revoked");
    expect(verdict(lease, { epoch: 10, ids: ["agt_3"] })).toBe("allowed");
  });

  test("voids every older decision when the store cannot say what happened", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    const { targets, epoch } = house.commit({ kind: "agent", id: "agt_1" });
    house.isStoreBroken = true;
    expect(await house.feed.publish(targets, epoch)).toMatchObject({ acked: 1 });
    expect(verdict(lease, { epoch: 10, ids: ["agt_1"] })).toBe("identity_revoked");
    expect(verdict(lease, { epoch: 10, ids: ["agt_2"] })).toBe("decision_stale");
    expect(verdict(lease, { epoch: 11, ids: ["agt_2"] })).toBe("allowed");
    expect(house.events).toContainEqual({ kind: "targets_unknown", epoch: 11 });
  });

  test("voids every older decision when an epoch in between is missing", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    expect(await house.feed.publish([{ kind: "agent", id: "agt_1" }], 12)).toMatchObject({ acked: 1 });
    expect(verdict(lease, { epoch: 11, ids: ["agt_2"] })).toBe("decision_stale");
  });
});

describe("a restarted server", () => {
  test("completes nothing before the leases of the process before it have run out", async () => {
    const house = await openHouse();
    const startedMs = performance.now();
    expect(await house.revoke({ kind: "agent", id: "agt_1" })).toMatchObject({ acked: 0, expired: 0 });
    expect(performance.now() - startedMs).toBeGreaterThan(600);
    const again = await house.feed.publish([{ kind: "agent", id: "agt_1" }], 11);
    expect(again).toMatchObject({ acked: 0, expired: 0 });
  });

  test("gets its verifiers back, and they refuse decisions from before what they missed", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    house.commit({ kind: "agent", id: "agt_1" });
    await house.restart();
    await until(() => lease.epoch === 11 && verdict(lease, { epoch: 11, ids: [] }) === "allowed");
    expect(verdict(lease, { epoch: 10, ids: ["agt_1"] })).toBe("decision_stale");
    // The lease of the process before has run out by now; the present one counts at the new server.
    await sleep(LONGEST_LEASE_MS);
    expect(await house.revoke({ kind: "agent", id: "agt_2" })).toMatchObject({ acked: 1, expired: 0 });
    expect(verdict(lease, { epoch: 11, ids: ["agt_2"] })).toBe("identity_revoked");
  });

  test("with an older epoch is not followed", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    await house.revoke({ kind: "agent", id: "agt_1" });
    house.stored.length = 0;
    await house.restart();
    await until(() => house.events.filter(({ kind }) => kind === "opened").length > 2);
    await sleep(LONGEST_LEASE_MS);
    expect(verdict(lease, { epoch: 11, ids: [] })).toBe("lease_expired");
    expect(lease.epoch).toBe(11);
  });
});

describe("a lease", () => {
  test("ends when the wall clock jumps, and comes back with the next beat", async () => {
    const house = await openHouse();
    let aheadMs = 0;
    const runtime: Runtime = { ...systemRuntime, nowMs: () => Date.now() + aheadMs };
    const lease = openLease(house.url, { runtime });
    await lease.ready();
    aheadMs = 3_600_000;
    expect(verdict(lease, { epoch: 10, ids: [] })).toBe("lease_expired");
    await lease.ready();
    expect(verdict(lease, { epoch: 10, ids: [] })).toBe("allowed");
  });

  test("keeps a connection that is only late, and has its lease again with the first answer", async () => {
    const house = await openHouse();
    const way = await openFaultyLink(house.port);
    cleanups.push(() => way.close());
    const lease = openLease(`https://127.0.0.1:${way.port}`);
    await lease.ready();
    way.part();
    await until(() => way.connections === 2);
    expect(verdict(lease, { epoch: 10, ids: [] })).toBe("lease_expired");
    way.heal();
    await lease.ready();
    expect(verdict(lease, { epoch: 10, ids: [] })).toBe("allowed");
    expect(house.sockets).toHaveLength(1);
    // Whoever was asked meanwhile was given up.
    await until(() => way.connections === 1);
    expect(house.sockets).toHaveLength(1);
  });

  test("leaves a connection on which nothing comes any more as soon as another one is there", async () => {
    const house = await openHouse();
    const wire = await openWire(house.port);
    const lease = openLease(wire.url);
    await lease.ready();
    wire.cut();
    await until(() => verdict(lease, { epoch: 10, ids: [] }) === "lease_expired");
    await lease.ready();
    expect(house.sockets).toHaveLength(2);
    expect(verdict(lease, { epoch: 10, ids: [] })).toBe("allowed");
  });

  test("leaves a place that upgrades and says nothing to its end, not even hello", async () => {
    const house = await openHouse();
    house.isMute = true;
    const lease = openLease(house.url);
    await until(() => house.sockets.length === 1);
    house.isMute = false;
    await lease.ready();
    expect(house.sockets.map(({ destroyed }) => destroyed)).toEqual([true, false]);
  });

  test("goes on over a broken connection", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    for (const socket of house.sockets.splice(0)) socket.destroy();
    await until(() => house.sockets.length === 1);
    await lease.ready();
    expect(verdict(lease, { epoch: 10, ids: [] })).toBe("allowed");
  });

  test("uses a full handshake for every connection", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    const [first] = house.sockets.splice(0);
    expect(first?.isSessionReused()).toBe(false);
    first?.destroy();
    await until(() => house.sockets.length === 1);
    expect(house.sockets[0]?.isSessionReused()).toBe(false);
  });

  test("is refused by a server that is not ours, without a word to it", async () => {
    const impostor = createTestDomain().issue(["trustwarden", "server", "inst-S"]);
    const heard: string[] = [];
    const { server, url } = await startTestServer(impostor);
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    server.on("upgrade", (incoming, socket) => {
      heard.push(String(incoming.url));
      socket.destroy();
    });
    const lease = openLease(url, { readyTimeoutMs: 500 });
    await expect(lease.ready()).rejects.toMatchObject({ code: "server_untrusted" });
    expect(heard).toEqual([]);
  });

  test("says why it is not ready when the server refuses the upgrade", async () => {
    const { server, url } = await startTestServer(serverSvid, (_incoming, answer) => {
      answer.writeHead(401).end();
    });
    cleanups.push(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    const lease = openLease(url, { readyTimeoutMs: 500 });
    await expect(lease.ready()).rejects.toMatchObject({ code: "server_unreachable" });
  });

  test("goes on when there is no identity to ask with, and is there again when there is", async () => {
    const house = await openHouse();
    let hasIdentity = false;
    const headers = () => {
      if (!hasIdentity) throw new TrustWardenError("identity_expired");
      return {};
    };
    const waiting = openLease(house.url, { readyTimeoutMs: 300, headers });
    await expect(waiting.ready()).rejects.toMatchObject({ code: "identity_expired" });
    hasIdentity = true;
    await until(() => house.feed.leases === 1);
  });

  test("stops verifiers although whoever listens in this process fails", async () => {
    const house = await openHouse();
    house.isListenerBroken = true;
    await expect(house.revoke({ kind: "owner", id: "own_x" })).resolves.toMatchObject({ expired: 0 });
    expect(house.events).toContainEqual({ kind: "push_unheard", epoch: 11 });
  });

  test("ends with close", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    lease.close();
    expect(() => lease.requireFresh()).toThrow("lease_expired");
    await expect(lease.ready()).rejects.toMatchObject({ code: "identity_closed" });
    await until(() => house.feed.leases === 0);
    const waiting = openLease("https://127.0.0.1:1");
    const ready = waiting.ready();
    waiting.close();
    await expect(ready).rejects.toMatchObject({ code: "identity_closed" });
  });
});

describe("the feed", () => {
  test("cuts a verifier whose identity ends while it is connected", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    house.live = false;
    await until(() => house.events.some((event) => event.kind === "ended" && event.reason === "revoked"));
    await until(() => verdict(lease, { epoch: 10, ids: [] }) === "lease_expired");
  });

  test("cuts whoever may not be here any more when it is asked to, and nobody else", async () => {
    const house = await openHouse();
    await openLease(house.url).ready();
    house.feed.endStopped();
    expect(house.feed.leases).toBe(1);
    house.live = false;
    house.feed.endStopped();
    expect(house.feed.leases).toBe(0);
  });

  test("drops a verifier that acknowledges what never was", async () => {
    const house = await openHouse();
    const socket = await openRaw(house.port);
    socket.write(encodeBeat({ nonce: Buffer.alloc(16).toString("base64url"), ack: 99 }));
    await until(() => house.events.some((event) => event.kind === "ended" && event.reason === "malformed"));
    expect(house.feed.leases).toBe(0);
  });

  test("tells an agent what is revoked and waits for none, and keeps two connections of one", async () => {
    const house = await openHouse();
    const svid = domain.issue(["agent-of-a-launcher", "inst-L"]);
    const silent = await openRaw(house.port, svid);
    const told: string[] = [];
    silent.on("data", (chunk) => told.push(String(chunk)));
    silent.write(encodeBeat({ nonce: Buffer.alloc(16).toString("base64url"), ack: 10 }));
    await until(() => told.some((line) => line.includes("echo")));
    expect(await house.revoke({ kind: "agent", id: "agt_1" })).toMatchObject({ acked: 0, expired: 0 });
    await until(() => told.some((line) => line.includes("agt_1")));
    for (const _ of [1, 2, 3]) await openRaw(house.port, svid);
    expect(house.feed.leases).toBe(2);
    expect(house.events).toContainEqual({ kind: "ended", spiffeId: svid.id, reason: "replaced" });
  });

  test("finishes what is being published before it closes, and then takes nobody", async () => {
    const house = await openHouse();
    const lease = openLease(house.url);
    await lease.ready();
    const published = house.revoke({ kind: "agent", id: "agt_1" });
    const closed = house.feed.close();
    expect(await published).toMatchObject({ acked: 1 });
    await closed;
    expect(house.feed.leases).toBe(0);
    await sleep(300);
    expect(house.feed.leases).toBe(0);
  });
});
