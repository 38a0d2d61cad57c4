/**
 * What SPIFFE asks of a client, kept by the SDK's sources and its mutual TLS. The names of the cases are those of the
 * catalogue of spiffe-conformance-test-suite, whose cases these are by the standard's own words, since the suite itself cannot
 * be had here; each refusal stands beside something of the same kind that is accepted.
 *
 * @see SPIFFE_Workload_Endpoint.md §3 to §6; SPIFFE_Workload_API.md §4 to §8; X509-SVID §5; JWT-SVID §4
 */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { get as getByHttps } from "node:https";
import { type AddressInfo, connect as connectTcp, type Server } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import {
  acceptIds,
  acceptTrustDomain,
  connectMutualTls,
  createJwtSource,
  createMutualTlsAgent,
  createMutualTlsServer,
  createX509Source,
  type MutualTls,
  type X509Source,
} from "trustwarden";
import { afterEach, describe, expect, it } from "vitest";
import { createDomain, formatPem, type IssuedSvid, issueSvid } from "../interop/domain.ts";
import { valueOrCode } from "./support/expect-code.ts";
import { forgeBrokenPeers, forgeRsaAuthority, forgeSoundPeers, type Peer } from "./support/forged-peers.ts";
import {
  jwtBundles,
  type Members,
  type Method,
  openScriptedEndpoint,
  runtime,
  type ScriptedEndpoint,
  svidMessage,
  x509Response,
} from "./support/scripted-endpoint.ts";

const now = Math.floor(Date.now() / 1000);
const ours = createDomain("ours.test", now);
const next = createDomain("ours.test", now);
const other = createDomain("other.test", now);
const a = issueSvid(ours, ["team", "a"], now);
const b = issueSvid(ours, ["team", "b"], now);
const stateOf = (...svids: readonly IssuedSvid[]): Members =>
  x509Response({ svids, bundle: [ours.root.der] });
const svidOf = (svid: IssuedSvid) => svidMessage(svid, [ours.root.der]);
const code = (expected: string) => expect.objectContaining({ code: expected });
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function kept<T extends { readonly close: () => void }>(it: T): T {
  closers.push(() => it.close());
  return it;
}

async function openEndpoint(place?: string): Promise<ScriptedEndpoint> {
  return kept(await openScriptedEndpoint(place));
}

/** An endpoint that has said this, and a source of it. */
async function openSource(state: Members = stateOf(a), heard: string[] = []) {
  const endpoint = await openEndpoint();
  endpoint.push("FetchX509SVID", state);
  const source = kept(
    await createX509Source({
      socket: endpoint.socket,
      runtime,
      onError: (error) => heard.push(error.code),
    }),
  );
  return { endpoint, source };
}

const idOf = (source: X509Source) => source.svid().spiffeId;
const countOf = ({ calls }: ScriptedEndpoint, method: Method) =>
  calls.filter((call) => call.method === method).length;

/** A listener of the SDK's that tells each peer who it is. */
async function serve(source: X509Source, options: Partial<MutualTls> = {}): Promise<number> {
  const server = createMutualTlsServer({ source, accept: () => true, ...options }, ({ socket, peer }) => {
    socket.on("error", () => undefined);
    socket.end(`${peer}\n`);
  });
  return listenOn(server);
}

async function listenOn(server: Server): Promise<number> {
  kept(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return portOf(server.address());
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

const keysOf = ({ chain, signer }: Pick<IssuedSvid, "chain" | "signer">) => ({
  key: signer.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  cert: formatPem(chain),
});

/** What a client of Node's own, which checks nothing, is told and shown. */
async function call(port: number, client?: Pick<IssuedSvid, "chain" | "signer">) {
  const keys = client === undefined ? {} : keysOf(client);
  const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ...keys });
  let said = "";
  let shown: readonly Buffer[] = [];
  socket.on("secureConnect", () => {
    shown = chainOf(socket);
  });
  socket.on("data", (bytes: Buffer) => {
    said += bytes;
  });
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => socket.on("close", () => resolve()));
  return { said, shown };
}

function chainOf(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  for (let one = socket.getPeerX509Certificate(); one !== undefined; one = one.issuerCertificate)
    chain.push(one.raw);
  return chain;
}

function dial(source: X509Source, port: number) {
  return connectMutualTls({ source, accept: () => true }, { host: "127.0.0.1", port });
}

/** A server of Node's own with this identity. */
function serveAs(svid: Pick<IssuedSvid, "chain" | "signer">): Promise<number> {
  const server = createTlsServer(
    { ...keysOf(svid), requestCert: true, rejectUnauthorized: false },
    (socket) => socket.on("error", () => undefined).end("served"),
  );
  server.on("tlsClientError", () => undefined);
  return listenOn(server);
}

describe("EP: a source and its endpoint", () => {
  it("EP-2 sends the security header with every call, and EP-3 takes an address of TCP", async () => {
    const endpoint = await openEndpoint("tcp");
    expect(endpoint.socket).toMatch(/^tcp:/);
    endpoint.push("FetchX509SVID", stateOf(a));
    endpoint.push("FetchJWTBundles", jwtBundles({ "ours.test": [] }));
    endpoint.push("FetchJWTSVID", { svids: [] });
    kept(await createX509Source({ socket: endpoint.socket, runtime }));
    const tokens = kept(await createJwtSource({ socket: endpoint.socket, runtime }));
    await expect(tokens.fetch({ audience: ["a"] })).rejects.toThrow(code("workload_answer_refused"));
    expect(endpoint.calls.map(({ header }) => header)).toEqual(endpoint.calls.map(() => "true"));
    expect(endpoint.calls.length).toBeGreaterThanOrEqual(4);
  });

  it.each([
    ["EP-5", "Unavailable", 14],
    ["EP-6", "PermissionDenied", 7],
  ])("%s asks again after %s, one call at a time and not at once", async (_id, _name, status) => {
    const endpoint = await openEndpoint();
    endpoint.push("FetchX509SVID", stateOf(a));
    endpoint.fail("FetchX509SVID", status, 2);
    const startedAt = performance.now();
    const source = kept(await createX509Source({ socket: endpoint.socket, runtime }));
    expect([idOf(source), countOf(endpoint, "FetchX509SVID")]).toEqual([a.id, 3]);
    expect(performance.now() - startedAt).toBeGreaterThan(700);
  });

  it.each([
    ["InvalidArgument", 3, "request_malformed"],
    ["Unimplemented", 12, "server_unreachable"],
  ])("EP-7 does not ask again after %s", async (_name, status, expected) => {
    const endpoint = await openEndpoint();
    endpoint.fail("FetchX509SVID", status);
    endpoint.fail("FetchJWTBundles", status);
    const { socket } = endpoint;
    await expect(createX509Source({ socket, runtime })).rejects.toThrow(code(expected));
    await expect(createJwtSource({ socket, runtime })).rejects.toThrow(code(expected));
    expect(endpoint.calls).toHaveLength(2);
  });

  it("EP-7 nothing counts any more once the endpoint takes the call no more, since nobody would tell what is withdrawn", async () => {
    const { endpoint, source } = await openSource();
    endpoint.push("FetchJWTBundles", jwtBundles({ "ours.test": [] }));
    const { socket } = endpoint;
    const changes: string[] = [];
    const events = { onError: () => undefined, onChange: () => void changes.push("change") };
    const tokens = kept(await createJwtSource({ socket, runtime, ...events }));
    const verify = () => tokens.verify({ svid: "a.b.c", audience: "a" }).id;
    expect([idOf(source), valueOrCode(verify), changes]).toEqual([a.id, "svid_malformed", ["change"]]);
    endpoint.fail("FetchX509SVID", 3);
    endpoint.fail("FetchJWTBundles", 12);
    await expect.poll(() => valueOrCode(() => idOf(source))).toBe("request_malformed");
    await expect.poll(() => changes).toEqual(["change", "change"]);
    expect(() => source.verifyPeer(b.chain)).toThrow(code("request_malformed"));
    expect(valueOrCode(verify)).toBe("server_unreachable");
  });

  it("EP-8 waits for an endpoint that is not there yet, and gives up in time", async () => {
    const first = await openEndpoint();
    first.close();
    const path = first.socket.replace("unix://", "");
    const late = createX509Source({ socket: `unix:///tmp/late-${process.pid}.sock`, runtime });
    await expect(createX509Source({ socket: `unix://${path}`, runtime, timeoutMs: 300 })).rejects.toThrow(
      code("server_unreachable"),
    );
    const endpoint = await openEndpoint(`/tmp/late-${process.pid}.sock`);
    endpoint.push("FetchX509SVID", stateOf(a));
    expect(idOf(kept(await late))).toBe(a.id);
  });
});

describe("WA: a source and its stream", () => {
  it("WA-1 opens the stream again, and XS-3 has what came meanwhile", async () => {
    const heard: string[] = [];
    const { endpoint, source } = await openSource(stateOf(a), heard);
    endpoint.fail("FetchX509SVID", 14, 0);
    endpoint.push("FetchX509SVID", stateOf(b));
    expect(idOf(source)).toBe(a.id);
    await expect.poll(() => idOf(source)).toBe(b.id);
    expect(heard).toEqual(["server_unreachable"]);
  });

  const good = svidOf(b);
  it.each<readonly [string, Members]>([
    ["no SVID", { svids: [] }],
    ["no id", { svids: [{ ...good, spiffe_id: "" }] }],
    ["no chain", { svids: [{ ...good, x509_svid: Buffer.alloc(0) }] }],
    ["no key", { svids: [{ ...good, x509_svid_key: Buffer.alloc(0) }] }],
    ["no bundle", { svids: [{ ...good, bundle: Buffer.alloc(0) }] }],
    ["HX-8 another's key", { svids: [{ ...good, x509_svid_key: svidOf(a).x509_svid_key }] }],
  ])(
    "WA-2 discards a message with %s, says so, and hears the next one on the same stream",
    async (_name, bad) => {
      const heard: string[] = [];
      const { endpoint, source } = await openSource(stateOf(a), heard);
      endpoint.push("FetchX509SVID", bad);
      await expect.poll(() => heard).toEqual(["workload_answer_refused"]);
      expect(idOf(source)).toBe(a.id);
      endpoint.push("FetchX509SVID", stateOf(b));
      await expect.poll(() => idOf(source)).toBe(b.id);
      expect(countOf(endpoint, "FetchX509SVID")).toBe(1);
    },
  );

  it("WA-3 presents the first SVID, or the one with the hint, of two with one hint the first", async () => {
    const { endpoint, source } = await openSource(stateOf(a, b));
    expect(idOf(source)).toBe(a.id);
    endpoint.push("FetchX509SVID", stateOf(b, a));
    await expect.poll(() => idOf(source)).toBe(b.id);
    const hinted = [a, b].map((svid) => ({ ...svidOf(svid), hint: "same" }));
    endpoint.push("FetchX509SVID", { svids: [svidOf(b), ...hinted] });
    const { socket } = endpoint;
    expect(idOf(kept(await createX509Source({ socket, runtime, hint: "same" })))).toBe(a.id);
    const none = kept(await createX509Source({ socket, runtime, hint: "none" }));
    expect(() => none.svid()).toThrow(code("no_identity"));
  });

  it("WA-4 stops using what was withdrawn: nothing is presented, nobody is served, and the next state counts", async () => {
    const refusals: string[] = [];
    const { endpoint, source } = await openSource();
    const port = await serve(source, { onRefusal: (error) => refusals.push(error.code) });
    expect((await call(port, b)).said).toBe(`${b.id}\n`);
    endpoint.fail("FetchX509SVID", 7, 1);
    await expect.poll(() => valueOrCode(() => idOf(source))).toBe("no_identity");
    const { said, shown } = await call(port, b);
    expect([said, shown, refusals]).toEqual(["", [], ["no_identity"]]);
    const target = await serveAs(b);
    const options = { source, accept: () => true };
    await expect(connectMutualTls(options, { host: "127.0.0.1", port: target })).rejects.toThrow(
      code("no_identity"),
    );
    endpoint.push("FetchX509SVID", stateOf(b));
    await expect.poll(() => valueOrCode(() => idOf(source))).toBe(b.id);
    expect((await call(port, a)).said).toBe(`${a.id}\n`);
  });

  it("presents nothing that has expired, and nothing once it is closed", async () => {
    const endpoint = await openEndpoint();
    endpoint.push("FetchX509SVID", stateOf(a));
    let nowMs = Date.now();
    const clock = { ...runtime, nowMs: () => nowMs };
    const source = await createX509Source({ socket: endpoint.socket, runtime: clock });
    expect(idOf(source)).toBe(a.id);
    nowMs += 3_600_000;
    expect(() => source.svid()).toThrow(code("svid_expired"));
    source.close();
    expect(() => source.svid()).toThrow(code("identity_closed"));
    expect(() => source.verifyPeer(b.chain)).toThrow(code("identity_closed"));
  });

  it("has and tells nothing more once it is closed, whatever came with the message before", async () => {
    const endpoint = await openEndpoint();
    endpoint.push("FetchX509SVID", stateOf(a));
    let changes = 0;
    const onChange = () => {
      changes += 1;
      if (changes === 2) source.close();
    };
    const source = await createX509Source({ socket: endpoint.socket, runtime, onChange });
    endpoint.push("FetchX509SVID", stateOf(b), stateOf(a), stateOf(b));
    await expect.poll(() => changes).toBe(2);
    expect(valueOrCode(() => idOf(source))).toBe("identity_closed");
  });
});

describe("XS: what is presented, and whom it trusts", () => {
  it("XS-1 and XS-2 present the SVID with its intermediate, leaf first, and XS-3 a new one without a restart", async () => {
    const { endpoint, source } = await openSource();
    const port = await serve(source);
    expect((await call(port, b)).shown).toEqual(a.chain.map((der) => Buffer.from(der)));
    endpoint.push("FetchX509SVID", stateOf(b));
    await expect
      .poll(async () => (await call(port, a)).shown)
      .toEqual(b.chain.map((der) => Buffer.from(der)));
  });

  it("XS-4 trusts each authority of a bundle, and XS-5 none that is gone from it", async () => {
    const both = [ours.root.der, next.root.der];
    const { endpoint, source } = await openSource(x509Response({ svids: [a], bundle: both }));
    const port = await serve(source);
    const renewed = issueSvid(next, ["team", "new"], now);
    for (const peer of [b, renewed]) expect((await call(port, peer)).said).toBe(`${peer.id}\n`);
    endpoint.push("FetchX509SVID", stateOf(a));
    await expect.poll(async () => (await call(port, renewed)).said).toBe("");
    expect((await call(port, b)).said).toBe(`${b.id}\n`);
  });

  it("leaves out an authority of another kind of key, in its own bundle and a federated one, and goes on", async () => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const rsa = forgeRsaAuthority(publicKey.export({ type: "spki", format: "der" }), now);
    const state = x509Response({
      svids: [a],
      bundle: [rsa, ours.root.der],
      federated: { "other.test": [rsa], "third.test": [rsa, other.root.der] },
    });
    const { source } = await openSource(state);
    expect(source.verifyPeer(b.chain)).toBe(b.id);
    expect(() => source.verifyPeer(issueSvid(other, ["x"], now).chain)).toThrow(code("svid_untrusted"));
  });
});

describe("XV: peers that are proven and peers that are not", () => {
  const sound = forgeSoundPeers(ours, b.id, now);
  const stranger = issueSvid(next, ["team", "b"], now);
  const unknown = issueSvid(createDomain("unknown.test", now), ["x"], now);
  const broken: readonly Peer[] = [
    { name: "XV-5 of another authority with our name", ...stranger },
    { name: "XV-6 expired", ...issueSvid(ours, ["team", "b"], now - 7200) },
    { name: "XV-7 not yet valid", ...issueSvid(ours, ["team", "b"], now + 7200) },
    { name: "XV-15 of a trust domain without a bundle", ...unknown },
    ...forgeBrokenPeers(ours, other, now),
  ];

  it.each(sound)("accepts, in both roles: $name", async (peer) => {
    const { source } = await openSource();
    expect((await call(await serve(source), peer)).said).toMatch(/^spiffe:\/\/ours\.test\/team\/b\n$/);
    const { socket, peer: found } = await dial(source, await serveAs(peer));
    expect(found).toBe(b.id);
    socket.destroy();
  });

  it.each(broken)("refuses, in both roles: $name", async (peer) => {
    const { source } = await openSource();
    const refusals: string[] = [];
    const port = await serve(source, { onRefusal: (error) => refusals.push(error.code) });
    expect((await call(port, peer)).said).toBe("");
    expect(refusals).toEqual(["peer_untrusted"]);
    await expect(dial(source, await serveAs(peer))).rejects.toThrow(code("peer_untrusted"));
    expect((await call(port, b)).said).toBe(`${b.id}\n`);
  });

  it("refuses who presents nothing, speaks TLS 1.2 or no TLS, and serves the next one", async () => {
    const { source } = await openSource();
    const refusals: string[] = [];
    const port = await serve(source, { onRefusal: (error) => refusals.push(error.code) });
    expect((await call(port)).said).toBe("");
    const old = connectTls({
      port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      maxVersion: "TLSv1.2",
      ...keysOf(b),
    });
    await expect(once(old, "secureConnect")).rejects.toThrow();
    const plain = connectTcp(port, "127.0.0.1");
    plain.on("error", () => undefined);
    plain.write("GET / HTTP/1.1\r\n\r\n");
    await once(plain, "close");
    await expect.poll(() => refusals).toEqual(["peer_untrusted", "peer_untrusted", "peer_untrusted"]);
    expect((await call(port, b)).said).toBe(`${b.id}\n`);
  });

  it("goes on when a peer breaks its connection off, although nobody listens for that", async () => {
    const { source } = await openSource();
    const closed: boolean[] = [];
    const server = createMutualTlsServer({ source, accept: () => true }, ({ socket }) => {
      socket.write("x".repeat(65_536));
      socket.on("close", (hadError) => closed.push(hadError));
    });
    const port = await listenOn(server);
    const socket = connectTcp(port, "127.0.0.1");
    const peer = connectTls({ socket, rejectUnauthorized: false, ...keysOf(b) });
    peer.on("error", () => undefined);
    await once(peer, "readable");
    socket.resetAndDestroy();
    await expect.poll(() => closed).toEqual([true]);
  });

  it("accepts only whom the caller names, in both roles, although all are proven", async () => {
    const { source } = await openSource();
    for (const [accept, isAccepted] of [
      [acceptIds(b.id), true],
      [acceptIds(a.id), false],
      [acceptTrustDomain("ours.test"), true],
      [acceptTrustDomain("other.test"), false],
    ] as const) {
      expect((await call(await serve(source, { accept }), b)).said).toBe(isAccepted ? `${b.id}\n` : "");
      const dialled = connectMutualTls({ source, accept }, { host: "127.0.0.1", port: await serveAs(b) });
      if (isAccepted) (await dialled).socket.destroy();
      else await expect(dialled).rejects.toThrow(code("peer_untrusted"));
    }
    expect(() => acceptIds("no id")).toThrow(code("spiffe_id_malformed"));
  });

  it("carries HTTP between two workloads, each proven to the other", async () => {
    const { source } = await openSource();
    const { source: caller } = await openSource(stateOf(b));
    const web = createHttpServer((_request, response) => void response.end("hello"));
    const server = createMutualTlsServer({ source, accept: acceptIds(b.id) }, ({ socket }) =>
      web.emit("connection", socket),
    );
    const port = await listenOn(server);
    const agent = (accept: MutualTls["accept"]) => createMutualTlsAgent({ source: caller, accept });
    const ask = (accept: MutualTls["accept"]) =>
      new Promise<string>((resolve, reject) => {
        const request = getByHttps({ host: "127.0.0.1", port, agent: agent(accept) }, (answer) => {
          answer.setEncoding("utf8");
          answer.on("data", resolve);
        });
        request.on("error", reject);
      });
    expect(await ask(acceptIds(a.id))).toBe("hello");
    await expect(ask(acceptIds(b.id))).rejects.toThrow(code("peer_untrusted"));
    caller.close();
    await expect(ask(acceptIds(a.id))).rejects.toThrow(code("identity_closed"));
  });
});

describe("XF: federation", () => {
  it("XF-1 accepts a peer by its own trust domain's bundle, XF-2 by no other's, and XF-3 not once that is gone", async () => {
    const federated = { "other.test": [other.root.der] };
    const state = (svid: IssuedSvid, more = {}) =>
      x509Response({ svids: [svid], bundle: [ours.root.der], ...more });
    const { endpoint, source } = await openSource(state(a, { federated }));
    const peer = issueSvid(other, ["team", "c"], now);
    const climber = forgeBrokenPeers(ours, other, now).find(({ name }) => name.startsWith("XV-15"));
    expect(source.verifyPeer(peer.chain)).toBe(peer.id);
    const port = await serve(source);
    expect((await call(port, peer)).said).toBe(`${peer.id}\n`);
    expect(climber).toBeDefined();
    expect((await call(port, climber)).said).toBe("");
    endpoint.push("FetchX509SVID", state(b));
    await expect.poll(() => idOf(source)).toBe(b.id);
    expect((await call(port, peer)).said).toBe("");
    expect(() => source.verifyPeer(peer.chain)).toThrow(code("trust_domain_unknown"));
  });
});
