/** The endpoint on a real socket, called by a real process through real gRPC; only the identities are made up here. */
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { createTestDomain } from "@trustwarden/core/agentid/certificate.test.support.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createMemorySource,
  createTestClient,
  deliverSvid,
  issueTestJwt,
  NOW,
  otherDomain,
  securityHeader,
  startMemoryEndpoint,
  temporaryDirectory,
} from "./endpoint.test.support.ts";
import { createWorkloadApi } from "./workload-api.ts";

type Endpoint = Awaited<ReturnType<typeof startMemoryEndpoint>>;
const AUDIENCE = "https://bank.test";
let endpoint: Endpoint;

beforeEach(async () => {
  endpoint = await startMemoryEndpoint();
});
afterEach(() => endpoint.close());

const firstOf = async (method: string) => {
  const stream = endpoint.client.stream(method);
  await stream.have(1);
  stream.cancel();
  return Object(stream.messages[0]);
};
const refusalOf = (promise: Promise<unknown>) =>
  promise.then(
    () => ({ code: status.OK }),
    ({ code, details }) => ({ code, details }),
  );

describe("the header", () => {
  const HEADERS = [
    ["none", []],
    ["True", ["True"]],
    ["1", ["1"]],
    ["twice", ["true", "true"]],
    ["empty", [""]],
  ] as const;
  it.each(HEADERS)(
    "E-2 refuses every request without exactly one security header: %s",
    async (_name, values) => {
      const expected = { code: status.INVALID_ARGUMENT, details: "security header missing from request" };
      for (const method of [
        "FetchX509SVID",
        "FetchX509Bundles",
        "FetchJWTBundles",
        "FetchWITSVID",
        "FetchWITBundles",
      ])
        expect(await endpoint.client.stream(method, {}, securityHeader(...values)).ended).toEqual(expected);
      for (const method of ["FetchJWTSVID", "ValidateJWTSVID", "Describe", "Grant", "Decide"])
        expect(await refusalOf(endpoint.client.unary(method, {}, securityHeader(...values)))).toEqual(
          expected,
        );
      expect(endpoint.source.peers).toEqual([]);
    },
  );

  it("E-2 refuses metadata beyond 8 KiB", async () => {
    const headers = securityHeader("true");
    headers.set("filler", "x".repeat(8192));
    expect(await endpoint.client.stream("FetchX509SVID", {}, headers).ended).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
    headers.set("filler", "x".repeat(4096));
    const stream = endpoint.client.stream("FetchX509SVID", {}, headers);
    await stream.have(1);
    stream.cancel();
  });
});

describe("FetchX509SVID", () => {
  it("A-6 delivers DER chains, PKCS#8 keys and the bundle, and A-7 the instance first", async () => {
    const { svids } = await firstOf("FetchX509SVID");
    const { domain } = endpoint.source;
    expect(svids.map(({ spiffe_id }: { spiffe_id: string }) => spiffe_id)).toEqual([
      "spiffe://acme.test/team/pay/inst-1",
      "spiffe://acme.test/team/pay",
    ]);
    for (const { spiffe_id, x509_svid, x509_svid_key, bundle } of svids) {
      const leaf = new X509Certificate(x509_svid);
      const rest = x509_svid.subarray(leaf.raw.length);
      expect(verifyX509Svid([leaf.raw, rest], domain.bundles, NOW).id).toBe(spiffe_id);
      const key = createPrivateKey({ key: x509_svid_key, format: "der", type: "pkcs8" });
      expect(createPublicKey(key).equals(leaf.publicKey)).toBe(true);
      expect(bundle.equals(Buffer.concat(domain.bundle.x509Authorities.map(({ der }) => der)))).toBe(true);
    }
  });

  it("A-2 and A-4 sends the state at once and again at each change, and A-3 what is gone is absent", async () => {
    const { source, client } = endpoint;
    const stream = client.stream("FetchX509SVID");
    await stream.have(1);
    const federated = otherDomain().bundle;
    source.push({ ...source.state, bundles: [source.domain.bundle, federated] });
    await stream.have(2);
    expect(Object.keys(Object(stream.messages[1]).federated_bundles)).toEqual(["spiffe://other.test"]);
    source.push({ svids: source.state.svids.slice(0, 1), bundles: [source.domain.bundle] });
    await stream.have(3);
    expect(stream.messages[2]).toMatchObject({ federated_bundles: {} });
    expect(Object(stream.messages[2]).svids).toHaveLength(1);
    stream.cancel();
  });

  it("A-8 gives a hint once, to the first, and none beyond 1,024 bytes", async () => {
    const { source } = endpoint;
    const svids = ["a", "a", "é".repeat(512), "é".repeat(513)].map((hint, index) =>
      deliverSvid(source.domain, ["w", `inst-${index}`], hint),
    );
    source.state = { ...source.state, svids };
    const message = await firstOf("FetchX509SVID");
    expect(message.svids.map(({ hint }: { hint: string }) => hint)).toEqual(["a", "", "é".repeat(512), ""]);
  });

  it("A-15 writes no revocation list", async () => {
    expect((await firstOf("FetchX509SVID")).crl).toEqual([]);
    expect((await firstOf("FetchX509Bundles")).crl).toEqual([]);
  });
});

describe("what goes wrong", () => {
  const FAILURES = [
    [new TrustWardenError("no_identity"), status.PERMISSION_DENIED, "no identity issued"],
    [new TrustWardenError("workload_unattested"), status.UNAVAILABLE, "workload attestation failed"],
    [
      new TrustWardenError("workload_gone"),
      status.UNAUTHENTICATED,
      "could not verify existence of the original caller",
    ],
    [new TrustWardenError("server_unreachable"), status.UNAVAILABLE, "identities are not available now"],
    [new TrustWardenError("lease_expired"), status.UNAVAILABLE, "identities are not available now"],
    [new TrustWardenError("principal_refused"), status.UNAVAILABLE, "identities are not available now"],
    [new TrustWardenError("request_malformed"), status.INVALID_ARGUMENT, "The request is not well formed."],
    [new TrustWardenError("denied"), status.INTERNAL, "Something went wrong inside."],
    [new Error("a secret path"), status.INTERNAL, "Something went wrong inside."],
  ] as const;
  it.each(FAILURES)(
    "E-5 and A-9 answer %s with its status and text, in streams and calls alike",
    async (failure, code, details) => {
      endpoint.source.failure = failure;
      for (const method of ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"])
        expect(await endpoint.client.stream(method).ended).toEqual({ code, details });
      expect(await refusalOf(endpoint.client.unary("FetchJWTSVID", { audience: [AUDIENCE] }))).toEqual({
        code,
        details,
      });
    },
  );

  it("A-9 ends a stream with PermissionDenied when its last identity is withdrawn", async () => {
    const { source, client } = endpoint;
    const streams = ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"].map((method) =>
      client.stream(method),
    );
    await Promise.all(streams.map((stream) => stream.have(1)));
    source.push({ ...source.state, svids: [] });
    for (const { ended } of streams)
      expect(await ended).toEqual({ code: status.PERMISSION_DENIED, details: "no identity issued" });
    expect(source.subscriberCount()).toBe(0);
  });

  it("ends a stream with what its source says, and lets go of the source when the client goes", async () => {
    const { source, client } = endpoint;
    const ended = client.stream("FetchX509SVID");
    await ended.have(1);
    source.end(new TrustWardenError("workload_gone"));
    expect(await ended.ended).toMatchObject({ code: status.UNAUTHENTICATED });
    const cancelled = client.stream("FetchX509SVID");
    await cancelled.have(1);
    expect(source.subscriberCount()).toBe(1);
    cancelled.cancel();
    await expect.poll(() => source.subscriberCount()).toBe(0);
  });

  it("E-5 ends every stream with Unavailable when it closes, and removes its socket", async () => {
    const stream = endpoint.client.stream("FetchX509SVID");
    await stream.have(1);
    await endpoint.api.close();
    expect(await stream.ended).toMatchObject({ code: status.UNAVAILABLE });
    expect(existsSync(endpoint.api.socketPath)).toBe(false);
  });

  it("refuses a request beyond 64 KiB", async () => {
    const asked = (length: number) =>
      endpoint.client.unary("ValidateJWTSVID", { audience: "a", svid: "x".repeat(length) });
    expect(await refusalOf(asked(65_536))).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(await refusalOf(asked(65_000))).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("refuses a process its 129th stream with ResourceExhausted, and serves it again when one has ended", async () => {
    const { source, client } = endpoint;
    const clients = [
      client,
      createTestClient(endpoint.api.socketPath),
      createTestClient(endpoint.api.socketPath),
    ];
    const streams = Array.from({ length: 128 }, (_, index) =>
      Object(clients[index % 3]).stream("FetchX509Bundles"),
    );
    await Promise.all(streams.map((stream) => stream.have(1)));
    expect(await client.stream("FetchX509Bundles").ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    streams[0].cancel();
    await expect.poll(() => source.subscriberCount()).toBe(127);
    const again = client.stream("FetchX509Bundles");
    await again.have(1);
    for (const one of clients.slice(1)) Object(one).close();
  });
});

describe("bundles", () => {
  it("A-10 are keyed by the trust domain's id without a slash, the own one always there", async () => {
    const { source } = endpoint;
    const federated = otherDomain().bundle;
    source.state = { ...source.state, bundles: [source.domain.bundle, federated] };
    const { bundles } = await firstOf("FetchX509Bundles");
    expect(Object.keys(bundles)).toEqual(["spiffe://acme.test", "spiffe://other.test"]);
    expect(bundles["spiffe://other.test"].equals(Object(federated.x509Authorities[0]).der)).toBe(true);
  });

  it("A-12 are plain JWK Sets of the JWT keys: each with a kid, none with a use", async () => {
    const { bundles } = await firstOf("FetchJWTBundles");
    const { keys } = JSON.parse(bundles["spiffe://acme.test"].toString());
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) {
      expect(key.kid).toBeTypeOf("string");
      expect(key.kty).toBe("EC");
      expect("use" in key).toBe(false);
      expect("x5c" in key).toBe(false);
    }
  });

  it("are sent once as long as they stay the same, whatever else changes", async () => {
    const { source, client } = endpoint;
    const stream = client.stream("FetchJWTBundles");
    await stream.have(1);
    source.push({ ...source.state, svids: source.state.svids.slice(0, 1) });
    source.push({ ...source.state });
    source.push({ ...source.state, bundles: [source.domain.bundle, otherDomain().bundle] });
    await stream.have(2);
    expect(Object.keys(Object(stream.messages[1]).bundles)).toHaveLength(2);
    stream.cancel();
  });
});

describe("JWT-SVIDs", () => {
  it("A-11 gives one token for each identity, or for the one that is asked for", async () => {
    const all = await endpoint.client.unary("FetchJWTSVID", { audience: [AUDIENCE] });
    expect(Object(all).svids.map(({ spiffe_id }: { spiffe_id: string }) => spiffe_id)).toEqual([
      "spiffe://acme.test/team/pay/inst-1",
      "spiffe://acme.test/team/pay",
    ]);
    const one = await endpoint.client.unary("FetchJWTSVID", {
      audience: [AUDIENCE],
      spiffe_id: "spiffe://acme.test/team/pay",
    });
    expect(Object(one).svids).toHaveLength(1);
  });

  it("A-11 refuses an id that is not the caller's, and one that is no id", async () => {
    const ask = (spiffe_id: string) =>
      refusalOf(endpoint.client.unary("FetchJWTSVID", { audience: ["a"], spiffe_id }));
    expect(await ask("spiffe://acme.test/other")).toEqual({
      code: status.PERMISSION_DENIED,
      details: "no identity issued",
    });
    expect(await ask("https://acme.test/other")).toEqual({
      code: status.INVALID_ARGUMENT,
      details: "invalid requested SPIFFE ID",
    });
  });

  it("A-5 refuses empty mandatory fields, and more than eight audiences", async () => {
    const ask = (method: string, request: object) => refusalOf(endpoint.client.unary(method, request));
    const noAudience = { code: status.INVALID_ARGUMENT, details: "audience must be specified" };
    expect(await ask("FetchJWTSVID", { audience: [] })).toEqual(noAudience);
    expect(await ask("FetchJWTSVID", { audience: ["a", ""] })).toEqual(noAudience);
    expect(await ask("ValidateJWTSVID", { audience: "", svid: "x" })).toEqual(noAudience);
    expect(await ask("ValidateJWTSVID", { audience: "a", svid: "" })).toEqual({
      code: status.INVALID_ARGUMENT,
      details: "svid must be specified",
    });
    const audiences = (count: number) => Array.from({ length: count }, (_, index) => `a${index}`);
    expect(await ask("FetchJWTSVID", { audience: audiences(8) })).toEqual({ code: status.OK });
    expect(await ask("FetchJWTSVID", { audience: audiences(9) })).toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
  });

  it("A-13 validates a token and returns its claims, the audience as a list", async () => {
    const { source, client } = endpoint;
    const id = Object(source.state.svids[0]).spiffeId;
    const svid = issueTestJwt(source.domain, { id, audience: AUDIENCE });
    const answer = Object(await client.unary("ValidateJWTSVID", { audience: AUDIENCE, svid }));
    expect(answer.spiffe_id).toBe(id);
    const { fields } = answer.claims;
    expect(fields.aud.listValue.values).toMatchObject([{ stringValue: AUDIENCE }]);
    expect(fields.sub.stringValue).toBe(id);
    expect(fields.exp.numberValue).toBe(NOW + 300);
    expect(fields["https://trustwarden.dev/owner"].stringValue).toBe("own_1");
  });

  it("A-13 keeps only the registered claims of another trust domain", async () => {
    const { source, client } = endpoint;
    const other = otherDomain();
    source.state = { ...source.state, bundles: [source.domain.bundle, other.bundle] };
    const { spiffeId: id } = deliverSvid(other, ["far", "away"]);
    const svid = issueTestJwt(other, { id, audience: AUDIENCE });
    const answer = Object(await client.unary("ValidateJWTSVID", { audience: AUDIENCE, svid }));
    expect(Object.keys(answer.claims.fields).sort()).toEqual(["aud", "exp", "iat", "iss", "jti", "sub"]);
  });

  it("A-13 refuses another audience, an unknown trust domain and an altered token with InvalidArgument", async () => {
    const { source, client } = endpoint;
    const id = Object(source.state.svids[0]).spiffeId;
    const good = issueTestJwt(source.domain, { id, audience: AUDIENCE });
    const other = otherDomain();
    const foreign = issueTestJwt(other, { id: deliverSvid(other, ["x"]).spiffeId, audience: AUDIENCE });
    const ask = (audience: string, svid: string) =>
      refusalOf(client.unary("ValidateJWTSVID", { audience, svid }));
    expect(await ask(AUDIENCE, good)).toEqual({ code: status.OK });
    for (const [audience, svid] of [
      ["https://other.test", good],
      [AUDIENCE, foreign],
      [AUDIENCE, `${good.slice(0, -4)}AAAA`],
      [AUDIENCE, "x"],
    ] as const)
      expect(await ask(audience, svid)).toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});

describe("profiles and services", () => {
  it("A-14 and W-9 answer Unimplemented to both WIT methods", async () => {
    for (const method of ["FetchWITSVID", "FetchWITBundles"])
      expect(await endpoint.client.stream(method).ended).toMatchObject({ code: status.UNIMPLEMENTED });
  });

  it("E-7 offers what is ours in a service of its own", async () => {
    const { WORKLOAD_SERVICE } = await import("./protocol.ts");
    expect(Object.keys(WORKLOAD_SERVICE).sort()).toEqual([
      "FetchJWTBundles",
      "FetchJWTSVID",
      "FetchWITBundles",
      "FetchWITSVID",
      "FetchX509Bundles",
      "FetchX509SVID",
      "ValidateJWTSVID",
    ]);
    const { instances } = Object(await endpoint.client.unary("Describe", {}));
    expect(instances[0]).toMatchObject({
      spiffe_id: "spiffe://acme.test/team/pay/inst-1",
      scope: ["read:transactions"],
    });
  });

  it("E-7 has an action of the caller decided where the source does that, and says what came of it", async () => {
    const asked = { action: "sign:git:tools", resource: "git://tools/commit/1" };
    const ask = () => endpoint.client.unary("Decide", asked);
    await expect(ask()).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
    const seen: object[] = [];
    let failure: TrustWardenError | undefined;
    Object.assign(endpoint.source, {
      decide: async (_peer: object, given: object) => {
        seen.push(given);
        if (failure !== undefined) throw failure;
        return "event-1";
      },
    });
    expect(await ask()).toEqual({ event_id: "event-1" });
    expect(seen).toEqual([asked]);
    for (const [code, expected] of [
      ["denied", status.FAILED_PRECONDITION],
      ["approval_required", status.FAILED_PRECONDITION],
      ["no_identity", status.PERMISSION_DENIED],
      ["action_malformed", status.INVALID_ARGUMENT],
      ["server_unreachable", status.UNAVAILABLE],
      ["identity_revoked", status.UNAVAILABLE],
    ] as const) {
      failure = new TrustWardenError(code);
      await expect(ask(), code).rejects.toMatchObject({ code: expected });
    }
  });

  it("A-1 serves X.509 and JWT to one caller over one connection", async () => {
    await firstOf("FetchX509SVID");
    await firstOf("FetchJWTBundles");
    expect(endpoint.api.connectionCount()).toBe(1);
    expect(endpoint.source.peers[0]).toMatchObject({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
  });

  it("E-3 asks for no TLS and no credentials: a bare connection is enough", async () => {
    expect(Object(await firstOf("FetchX509SVID")).svids).toHaveLength(2);
  });
});

describe("the socket", () => {
  it("holds no descriptor of a connection that has gone, served or not", async () => {
    const touch = async (count: number) => {
      for (let number = 0; number < count; number += 1) {
        const client = createTestClient(endpoint.api.socketPath);
        if (number % 10 === 0) await client.unary("Describe", {});
        client.close();
        const socket = connect(endpoint.api.socketPath);
        await once(socket, "connect");
        socket.destroy();
      }
      await expect.poll(() => endpoint.api.connectionCount(), { timeout: 5000 }).toBe(0);
    };
    const descriptors = () => readdirSync("/proc/self/fd").length;
    await touch(20);
    const before = descriptors();
    await touch(300);
    await expect.poll(descriptors, { timeout: 5000 }).toBeLessThanOrEqual(before);
  });

  const start = (socketPath: string) =>
    createWorkloadApi({ source: createMemorySource(createTestDomain()), socketPath, now: () => NOW });

  it("is open to every account by its mode, since each caller is attested", async () => {
    expect(statSync(endpoint.api.socketPath).mode & 0o777).toBe(0o666);
  });

  it("replaces a socket that nobody listens on, and refuses one that answers or another file", async () => {
    const directory = temporaryDirectory();
    const socketPath = join(directory.path, "a.sock");
    const { spawnSync } = await import("node:child_process");
    spawnSync(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(socketPath)},()=>process.kill(process.pid,9))`,
    ]);
    expect(existsSync(socketPath)).toBe(true);
    const api = await start(socketPath);
    await expect(start(socketPath)).rejects.toMatchObject({ code: "bind_refused" });
    await api.close();
    writeFileSync(socketPath, "mine");
    await expect(start(socketPath)).rejects.toMatchObject({ code: "bind_refused" });
    chmodSync(directory.path, 0o700);
    directory.remove();
  });

  it("refuses a path that is not absolute, and one that does not fit an address", async () => {
    await expect(start("agent.sock")).rejects.toMatchObject({ code: "endpoint_malformed" });
    await expect(start(`/${"x".repeat(107)}`)).rejects.toMatchObject({ code: "endpoint_malformed" });
  });
});
