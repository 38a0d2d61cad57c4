/** The daemon's logic with real processes of other accounts on a real socket; only the server is in memory. */
import { once } from "node:events";
import { chmodSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { status } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createAccounts } from "./attest/accounts.ts";
import { end, isRoot, NOBODY, spawnAs } from "./attest/attest.test.support.ts";
import { ExecutableDigests } from "./attest/executable-digest.ts";
import { createUnixAttestor } from "./attest/unix-attestor.ts";
import { AttestedSource } from "./attested-source.ts";
import { type Caller, startCaller } from "./caller.test.support.ts";
import { createMemoryRegistry, type MemoryRegistry, testEntry } from "./registry.test.support.ts";
import { createTestClient, otherDomain, temporaryDirectory } from "./workload-api/endpoint.test.support.ts";
import { grpcFailureOf } from "./workload-api/grpc-status.ts";
import { createWorkloadApi, type WorkloadApi } from "./workload-api/workload-api.ts";

const UID = isRoot ? NOBODY : (process.getuid?.() ?? 0);
const OTHER_UID = 65_533;
const NO_IDENTITY = { status: status.PERMISSION_DENIED, text: "no identity issued" };
const AWAY = new TrustWardenError("server_unreachable");

/** Follows its SVIDs, and when it has them hands the socket to a child that lives on, and ends. */
const ASK_THEN_HAND_OVER = `
const http2=require("http2"),net=require("net");const socket=net.connect(process.argv[1]);
const session=http2.connect("http://localhost",{createConnection:()=>socket});session.on("error",()=>{});
const call=session.request({":method":"POST",":path":"/SpiffeWorkloadAPI/FetchX509SVID","content-type":"application/grpc","te":"trailers","workload.spiffe.io":"true"});
call.end(Buffer.alloc(5));call.on("error",()=>{});
call.once("data",()=>{console.log("served");
  const child=require("child_process").spawn(process.execPath,["-e","setInterval(()=>{},1000)"],{detached:true,stdio:["ignore","ignore","ignore",socket._handle.fd]});
  console.log(child.pid);setTimeout(()=>process.exit(),100)});`;

/** Follows its SVIDs, hands the socket to a child when it has them, and goes on as another program. */
const ASK_THEN_EXECUTE = `
const http2=require("http2"),net=require("net");const socket=net.connect(process.argv[1]);
const session=http2.connect("http://localhost",{createConnection:()=>socket});session.on("error",()=>{});
const call=session.request({":method":"POST",":path":"/SpiffeWorkloadAPI/FetchX509SVID","content-type":"application/grpc","te":"trailers","workload.spiffe.io":"true"});
call.end(Buffer.alloc(5));call.on("error",()=>{});
call.once("data",()=>{
  const child=require("child_process").spawn(process.execPath,["-e","setInterval(()=>{},1000)"],{detached:true,stdio:["ignore","ignore","ignore",socket._handle.fd]});
  console.log(child.pid);setTimeout(()=>process.execve("/usr/bin/sleep",["sleep","30"],process.env),100)});`;

let registry: MemoryRegistry;
let source: AttestedSource;
let api: WorkloadApi;
let isHeard: boolean;
let callers: Caller[];
let directory: ReturnType<typeof temporaryDirectory>;

const call = (uid = UID): Caller => {
  const caller = startCaller(api.socketPath, uid);
  callers.push(caller);
  return caller;
};
const setEntries = async (...entries: readonly ReturnType<typeof testEntry>[]) => {
  registry.entryList = entries;
  await source.refresh();
};
const target = (kind: "instance" | "agent" | "owner" | "narrowed", id: string) => ({ kind, id });

beforeEach(async () => {
  registry = createMemoryRegistry();
  isHeard = true;
  callers = [];
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
  source = new AttestedSource({
    registry,
    attestor: createUnixAttestor({ accounts: createAccounts(), digests: new ExecutableDigests() }),
    nodeName: "host-1",
    isServerHeard: () => isHeard,
    runtime: registry.runtime,
  });
  api = await createWorkloadApi({
    source,
    socketPath: join(directory.path, "a.sock"),
    now: () => registry.now,
  });
});
afterEach(async () => {
  await Promise.all(callers.map((caller) => caller.end()));
  await api.close();
  await source.close(new TrustWardenError("server_unreachable"));
  directory.remove();
});

describe("who gets an identity", () => {
  it("a process that has every selector of an entry, its class second, with a hint for each", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`, "node:host-1"], "bank"));
    expect(await call().next()).toMatchObject({
      ids: ["spiffe://acme.test/team/agent-1/inst-1", "spiffe://acme.test/team/agent-1"],
      hints: ["bank", "bank-class"],
    });
  });

  it.runIf(isRoot)(
    "not a process of another account, of another node, or without an entry at all",
    async () => {
      const caller = call();
      expect(await caller.next()).toEqual(NO_IDENTITY);
      await setEntries(
        testEntry(1, [`unix:uid:${OTHER_UID}`]),
        testEntry(2, [`unix:uid:${UID}`, "node:host-2"]),
      );
      expect(await call().next()).toEqual(NO_IDENTITY);
      expect((await call(OTHER_UID).next()).ids?.[0]).toBe("spiffe://acme.test/team/agent-1/inst-1");
      expect(source.workloadCount).toBe(1);
    },
  );

  it("nobody by an entry that strangers could match, whatever the server says", async () => {
    await setEntries(testEntry(1, [`unix:path:${process.execPath}`]));
    expect(await call().next()).toEqual(NO_IDENTITY);
    expect(registry.created).toEqual([]);
  });

  it("every process its own instance, and one process one instance, however many streams it has", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]), testEntry(2, [`unix:uid:${process.getuid?.()}`]));
    const [one, two] = [call(), call()];
    const heard = await Promise.all([one.next(), two.next()]);
    expect(new Set(heard.map(({ ids }) => ids?.[0])).size).toBe(2);
    const mine = createTestClient(api.socketPath);
    const streams = Array.from({ length: 5 }, () => mine.stream("FetchX509SVID"));
    await Promise.all(streams.map((stream) => stream.have(1)));
    const ids = streams.map(({ messages }) => Object(messages[0]).svids[0].spiffe_id);
    expect(new Set(ids).size).toBe(1);
    expect(Object(await mine.unary("Describe", {})).instances[0]).toMatchObject({
      spiffe_id: ids[0],
      strength: "unix",
    });
    mine.close();
  });

  it("an instance for each entry that matches, the oldest first", async () => {
    await setEntries(testEntry(2, [`unix:uid:${UID}`], "same"), testEntry(1, [`unix:uid:${UID}`], "same"));
    const { ids, hints } = await call().next();
    expect(ids?.map((id) => id.split("/")[4])).toEqual(["agent-1", "agent-1", "agent-2", "agent-2"]);
    expect(hints).toEqual(["same", "same-class", "", ""]);
  });
});

describe("changes reach an open stream", () => {
  it("a new entry, one that is gone, and another trust domain's bundle", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]));
    const caller = call();
    expect((await caller.next()).ids).toHaveLength(2);
    await setEntries(testEntry(1, [`unix:uid:${UID}`]), testEntry(2, [`unix:uid:${UID}`]));
    expect((await caller.next()).ids).toHaveLength(4);
    registry.federated = [otherDomain().bundle];
    await source.refresh();
    expect(Object.keys(Object((await caller.next()).message).federated_bundles)).toEqual([
      "spiffe://other.test",
    ]);
    await setEntries(testEntry(2, [`unix:uid:${UID}`]));
    expect((await caller.next()).ids?.[0]).toContain("agent-2");
    await expect
      .poll(() => registry.ended)
      .toEqual([{ instanceId: "inst-1", reason: "the entry no longer matches" }]);
  });

  const TARGETS = [
    ["the instance", target("instance", "inst-1")],
    ["its agent", target("agent", "agt_inst-1")],
    ["an ancestor", target("agent", "agt_parent")],
    ["its owner", target("owner", "own_1")],
    ["everybody", target("owner", "*")],
  ] as const;
  it.each(TARGETS)(
    "a revocation of %s ends it at once, and asking again does not undo it",
    async (_name, revoked) => {
      await setEntries(testEntry(1, [`unix:uid:${UID}`]));
      const caller = call();
      await caller.next();
      source.onTargets([target("narrowed", "inst-1"), target("instance", "inst-999")]);
      source.onTargets([revoked]);
      expect(await caller.next()).toEqual(NO_IDENTITY);
      await source.refresh();
      expect(registry.created).toHaveLength(1);
    },
  );

  it("a renewal at half life, under new keys, for as long as somebody listens", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]));
    const caller = call();
    const first = Object((await caller.next()).message).svids;
    registry.now += 1801;
    await source.refresh();
    const second = Object((await caller.next()).message).svids;
    expect(second.map((svid: { spiffe_id: string }) => svid.spiffe_id)).toEqual(
      first.map((svid: { spiffe_id: string }) => svid.spiffe_id),
    );
    for (const index of [0, 1])
      expect(second[index].x509_svid_key.equals(first[index].x509_svid_key)).toBe(false);
    expect(registry.renewed).toHaveLength(1);
  });

  it("no renewal to a process that has become another program, over a stream that stayed open", async () => {
    await setEntries(
      testEntry(1, [`unix:uid:${UID}`, `unix:path:${realpathSync(process.execPath)}`]),
      testEntry(2, [`unix:uid:${UID}`]),
    );
    const changed = spawnAs(UID, ASK_THEN_EXECUTE, { args: [api.socketPath] });
    if (changed.stdout === null) throw new Error("its output is piped");
    const [heir] = await once(createInterface({ input: changed.stdout }), "line");
    await expect
      .poll(() => readFileSync(`/proc/${changed.pid}/comm`, "utf8"), { timeout: 5000 })
      .toBe("sleep\n");
    await source.renewAll(() => true);
    const [first, second] = registry.created;
    expect(registry.renewed.map(({ instanceId }) => instanceId)).toEqual([second?.instanceId]);
    await expect
      .poll(() => registry.ended)
      .toEqual([{ instanceId: first?.instanceId, reason: "the entry no longer matches" }]);
    process.kill(Number(heir), "SIGKILL");
    await end(changed);
  });

  it("a renewal that the server refuses while it hears the node ends the instance", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]));
    const caller = call();
    await caller.next();
    Object.assign(registry, {
      renewInstance: async () => {
        throw new TrustWardenError("principal_refused");
      },
    });
    await source.renewAll(() => true);
    expect(await caller.next()).toEqual(NO_IDENTITY);
  });
});

describe("what an account may have issued", () => {
  it("is bounded: token after token is refused at last with ResourceExhausted, and streams go on", async () => {
    await setEntries(testEntry(1, [`unix:uid:${process.getuid?.()}`]));
    const mine = createTestClient(api.socketPath);
    const stream = mine.stream("FetchX509SVID");
    await stream.have(1);
    const asked = await Promise.allSettled(
      Array.from({ length: 120 }, () => mine.unary("FetchJWTSVID", { audience: ["a"] })),
    );
    const codes = asked.map((one) => (one.status === "rejected" ? one.reason.code : status.OK));
    expect(new Set(codes)).toEqual(new Set([status.OK, status.RESOURCE_EXHAUSTED]));
    await mine.stream("FetchX509SVID").have(1);
    mine.close();
  });
});

describe("when the process ends", () => {
  it("its stream, its instance and its place end, and the server is told", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]));
    const caller = call();
    await caller.next();
    expect(source.workloadCount).toBe(1);
    await caller.end();
    await expect.poll(() => source.workloadCount).toBe(0);
    await expect.poll(() => registry.ended).toEqual([{ instanceId: "inst-1", reason: "the process ended" }]);
    await expect.poll(() => api.connectionCount()).toBe(0);
  });

  it("B10: a child that kept its socket gets nothing: the connection ends although the child holds it", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]));
    const parent = spawnAs(UID, ASK_THEN_HAND_OVER, { args: [api.socketPath] });
    if (parent.stdout === null) throw new Error("its output is piped");
    const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe("served");
    const heir = Number((await lines.next()).value);
    await expect.poll(() => registry.ended, { timeout: 5000 }).toHaveLength(1);
    await expect.poll(() => api.connectionCount()).toBe(0);
    // Still there, and still holding the descriptor: it was the node that ended the connection.
    expect(process.kill(heir, 0)).toBe(true);
    process.kill(heir, "SIGKILL");
  });

  it("the server is told again until it has heard it", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]));
    const caller = call();
    await caller.next();
    registry.failure = AWAY;
    await caller.end();
    await expect.poll(() => source.workloadCount).toBe(0);
    registry.failure = undefined;
    await expect.poll(() => registry.ended, { timeout: 5000 }).toHaveLength(1);
  });
});

describe("while the server is away", () => {
  it("what is at hand is served to the processes that had it, and nothing new is issued", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]), testEntry(2, [`unix:uid:${process.getuid?.()}`]));
    const mine = createTestClient(api.socketPath);
    const before = mine.stream("FetchX509SVID");
    await before.have(1);
    isHeard = false;
    registry.failure = AWAY;
    registry.now += 590;
    const again = mine.stream("FetchX509SVID");
    await again.have(1);
    expect(again.messages[0]).toEqual(before.messages[0]);
    expect(await call().next()).toMatchObject(
      isRoot
        ? { status: status.UNAVAILABLE, text: "identities are not available now" }
        : { ids: expect.anything() },
    );
    await expect(mine.unary("FetchJWTSVID", { audience: ["a"] })).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
    mine.close();
  });

  it("a token is its process's own for as long as it lasts, and nobody's when the server refuses it", async () => {
    await setEntries(testEntry(1, [`unix:uid:${process.getuid?.()}`]));
    const mine = createTestClient(api.socketPath);
    const fetch = async (audience: string) =>
      Object(await mine.unary("FetchJWTSVID", { audience: [audience] }));
    for (const code of [
      "principal_refused",
      "rate_limited",
      "not_found",
      "restore_held",
      "ledger_unavailable",
    ] as const) {
      registry.failure = undefined;
      await fetch("a");
      registry.failure = new TrustWardenError(code);
      await expect(fetch("a")).rejects.toMatchObject({ code: grpcFailureOf(registry.failure).code });
      registry.failure = AWAY;
      await expect(fetch("a")).rejects.toMatchObject({ code: status.UNAVAILABLE });
    }
    registry.failure = undefined;
    const before = await fetch("a");
    registry.failure = AWAY;
    expect(await fetch("a")).toEqual(before);
    await expect(fetch("b")).rejects.toMatchObject({ code: status.UNAVAILABLE });
    registry.now += 270;
    expect(await fetch("a")).toEqual(before);
    registry.now += 1;
    await expect(fetch("a")).rejects.toMatchObject({ code: status.UNAVAILABLE });
    mine.close();
  });

  it("what is at hand comes soon also where a network swallows what the server is asked, and an answer counts when it comes", async () => {
    await setEntries(testEntry(1, [`unix:uid:${process.getuid?.()}`]));
    const mine = createTestClient(api.socketPath);
    const fetch = () => mine.unary("FetchJWTSVID", { audience: ["a"] });
    await fetch();
    registry.now += 1700;
    const before = await fetch();
    const swallowed = Promise.withResolvers<never>();
    const swallow = () => swallowed.promise;
    Object.assign(registry, { issueJwt: swallow, renewInstance: swallow });
    isHeard = false;
    // The SVID of an hour is due, and its renewal swallowed as well.
    registry.now += 150;
    const askedAtMs = performance.now();
    expect(await fetch()).toEqual(before);
    expect(performance.now() - askedAtMs).toBeLessThan(9_000);
    const stream = mine.stream("FetchX509SVID");
    await stream.have(1);
    swallowed.reject(new TrustWardenError("principal_refused"));
    await expect(fetch()).rejects.toBeDefined();
    Object.assign(registry, { issueJwt: () => Promise.reject(AWAY) });
    await expect(fetch()).rejects.toMatchObject({ code: status.UNAVAILABLE });
    mine.close();
  });

  it("new streams are refused after ten minutes of silence, and served again when the server is heard", async () => {
    await setEntries(testEntry(1, [`unix:uid:${process.getuid?.()}`]));
    const mine = createTestClient(api.socketPath);
    const open = mine.stream("FetchX509SVID");
    await open.have(1);
    isHeard = false;
    registry.now += 601;
    expect(await mine.stream("FetchX509SVID").ended).toMatchObject({ code: status.UNAVAILABLE });
    isHeard = true;
    const later = mine.stream("FetchX509SVID");
    await later.have(1);
    mine.close();
  });

  it("an SVID that ends without a successor ends its stream with Unavailable", async () => {
    await setEntries(testEntry(1, [`unix:uid:${UID}`]));
    const caller = call();
    await caller.next();
    registry.failure = AWAY;
    registry.now += 3600;
    await source.renewAll(() => true);
    registry.failure = undefined;
    isHeard = false;
    Object.assign(registry, {
      renewInstance: async () => {
        throw AWAY;
      },
    });
    await source.refresh();
    expect(await caller.next()).toMatchObject({ status: status.UNAVAILABLE });
  });
});
