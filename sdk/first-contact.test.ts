/** First contact over real sockets: the pinned server is believed, an impostor is told nothing. */
import { createServer, type Server } from "node:https";
import { createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { digestOfAuthorities, formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterEach, describe, expect, it } from "vitest";
import { HeldNonces } from "./held-nonces.ts";
import { createInstanceKey } from "./instance-key.ts";
import { systemRuntime } from "./runtime.ts";
import {
  bundle,
  createTestRuntime,
  issueIdentity,
  LOG_ORIGIN,
  logVkey,
  NOW,
  SERVER_ID,
  SERVICE_ID,
  TRUST_DOMAIN,
} from "./support.test.helpers.ts";
import { SERVER_TLS_OPTIONS } from "./tls.ts";
import { connectServer } from "./trust-server.ts";

const PIN = digestOfAuthorities(bundle);
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A listener that shows an SVID and serves a bundle; what it was asked is in `asked`. */
async function listen(
  options: {
    readonly id?: string;
    readonly document?: string;
    readonly discovery?: object;
    readonly headers?: Readonly<Record<string, string>>;
    readonly port?: number;
    /** 200 unless given; for the named document alone. */
    readonly status?: { readonly of: string; readonly code: number };
    /** Who each connection after the first leads to. */
    readonly next?: string;
  } = {},
) {
  const { id = SERVER_ID, document = formatTrustBundle(bundle), discovery = {}, port: wanted = 0 } = options;
  const asked: string[] = [];
  let connections = 0;
  const server = createServer(tlsOf(id), (request, response) => {
    if (options.next !== undefined) server.setSecureContext(tlsOf(options.next));
    asked.push(`${request.method} ${request.url}`);
    response.setHeader("content-type", "application/json");
    for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value);
    const { status } = options;
    if (status !== undefined && status.of === request.url) response.statusCode = status.code;
    const nonce = { nonce: "from-nonce", expires_at: NOW + 60 };
    const other = request.url === "/v1/nonce" ? nonce : { ...discoveryOf(id), ...discovery };
    response.end(request.url === "/v1/bundle" ? document : JSON.stringify(other));
  });
  servers.push(server);
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(wanted, "127.0.0.1", resolve));
  const listening = server.address();
  const port = typeof listening === "object" ? (listening?.port ?? 0) : 0;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    asked,
    connections: () => connections,
    closeConnections: () => server.closeAllConnections(),
    close,
  };
}

function tlsOf(id: string) {
  const { key, chain } = issueIdentity(id);
  return { ...SERVER_TLS_OPTIONS, ...key.createTlsOptions(chain) };
}

function discoveryOf(id: string): object {
  return {
    trust_domain: TRUST_DOMAIN,
    server_id: id,
    authorities_sha256: PIN,
    log_origin: LOG_ORIGIN,
    log_vkey: logVkey,
    stop_url: "https://127.0.0.1:7444",
    epoch: 3,
    authority: { sequence: 1, intermediate_sha256: PIN, renew: [] },
  };
}

const beside = (text: string) => ({
  "trustwarden-discovery": Buffer.from(text).toString("base64url"),
});
const contact = (url: string, authoritiesSha256 = PIN) =>
  connectServer({ url, trustDomain: TRUST_DOMAIN, authoritiesSha256 }, createTestRuntime());
const untrusted = expect.objectContaining({ code: "server_untrusted" });

describe("a ledger", () => {
  it("keeps the first key that a process saw, whatever the server says later", async () => {
    const { url } = await listen({});
    const server = await contact(url);
    const keys = server.ledgerKeys;
    const told = (log_vkey: string) => ({
      body: encodeUtf8(JSON.stringify({ ...discoveryOf(SERVER_ID), log_vkey })),
      atMs: 0,
    });
    server.takeDiscovery(told(logVkey));
    expect(() => server.takeDiscovery(told(`x${logVkey}`))).toThrow(untrusted);
    expect([server.ledgerKeys, server.discovery.log_vkey]).toEqual([keys, logVkey]);
    server.release();
  });
});

describe("first contact", () => {
  it.each([429, 503])("with a server that is too busy, %i, does not call it an impostor", async (code) => {
    const refusal = '{"error":{"code":"overloaded","message":"wait"}}';
    const busy = await listen({ status: { of: "/v1/bundle", code }, document: refusal });
    await expect(contact(busy.url)).rejects.toMatchObject({
      code: "server_unreachable",
      details: { status: code },
    });
  });

  it.each([302, 404])("with what answers %i for a bundle does not call it the server", async (code) => {
    const other = await listen({ status: { of: "/v1/bundle", code } });
    await expect(contact(other.url)).rejects.toMatchObject({
      code: "server_untrusted",
      details: { status: code },
    });
  });

  it("with a server that has no time to show how it came to its roots, does not call it an impostor", async () => {
    const busy = await listen({ status: { of: "/v1/successions", code: 429 } });
    const otherPin = "A".repeat(43);
    await expect(contact(busy.url, otherPin)).rejects.toMatchObject({
      code: "server_unreachable",
      details: { status: 429 },
    });
  });

  it("believes the server whose chain leads to the pinned authorities", async () => {
    const { url } = await listen();
    const server = await contact(url);
    expect(server.discovery.server_id).toBe(SERVER_ID);
    await expect(server.findServerSvid("unknown")).rejects.toThrow(
      expect.objectContaining({ code: "receipt_invalid" }),
    );
    server.release();
  });

  it("goes on with the connection that it proved, and asks for the bundle before anything else", async () => {
    const { url, asked, connections } = await listen();
    const server = await contact(url);
    await server.readText("/healthz");
    expect(asked).toEqual(["GET /v1/bundle", "GET /.well-known/trustwarden", "GET /healthz"]);
    expect(connections()).toBe(1);
    server.release();
  });

  it("takes discovery that came beside the bundle, and asks for it when it did not", async () => {
    const brought = { ...discoveryOf(SERVER_ID), epoch: 7, nonce: "from-contact" };
    const { url, asked } = await listen({ headers: beside(JSON.stringify(brought)) });
    const server = await contact(url);
    expect(asked).toEqual(["GET /v1/bundle"]);
    expect(server.discovery.epoch).toBe(7);
    expect(await server.takeNonce()).toBe("from-contact");
    server.release();
  });

  it("refuses discovery beside the bundle that is another's or none, and reads it of nobody who is not proven", async () => {
    const other = { ...discoveryOf(SERVER_ID), trust_domain: "other.test" };
    const wrong = await listen({ headers: beside(JSON.stringify(other)) });
    await expect(contact(wrong.url)).rejects.toThrow(untrusted);
    const none = await listen({ headers: beside("not JSON") });
    await expect(contact(none.url)).rejects.toThrow(expect.objectContaining({ code: "server_unreachable" }));
    const impostor = await listen({ id: SERVICE_ID, headers: beside("not JSON") });
    await expect(contact(impostor.url)).rejects.toThrow(untrusted);
    expect(impostor.asked).toEqual(["GET /v1/bundle"]);
  });

  it("takes the nonce that discovery brought, once and while it is fresh", async () => {
    const { url, asked } = await listen({ discovery: { nonce: "from-discovery" } });
    const runtime = createTestRuntime();
    const server = await connectServer({ url, trustDomain: TRUST_DOMAIN, authoritiesSha256: PIN }, runtime);
    expect(await server.takeNonce()).toBe("from-discovery");
    expect(asked).not.toContain("GET /v1/nonce");
    await expect(server.takeNonce()).resolves.toBe("from-nonce");
    await server.discover();
    runtime.advance(999);
    expect(await server.takeNonce()).toBe("from-discovery");
    await server.discover();
    runtime.advance(1000);
    expect(await server.takeNonce()).toBe("from-nonce");
    server.release();
  });

  it("gives out no nonce that came over a connection which has ended", () => {
    const held = new HeldNonces();
    held.keep("over-one-that-has-ended", 0, { destroyed: true });
    expect(held.take(0)).toBeUndefined();
    held.keep("over-one-that-is-open", 0, { destroyed: false });
    expect(held.take(0)).toBe("over-one-that-is-open");
  });

  it("takes each nonce that came with an answer once and while it is fresh", async () => {
    const { url, asked } = await listen({ headers: { "trustwarden-nonce": "from-answer" } });
    const runtime = createTestRuntime();
    const server = await connectServer({ url, trustDomain: TRUST_DOMAIN, authoritiesSha256: PIN }, runtime);
    await server.readText("/healthz");
    const brought = asked.filter((request) => request !== "GET /v1/bundle").length;
    for (let taken = 0; taken < brought; taken += 1) expect(await server.takeNonce()).toBe("from-answer");
    expect(asked).not.toContain("GET /v1/nonce");
    expect(await server.takeNonce()).toBe("from-nonce");
    runtime.advance(1000);
    expect(await server.takeNonce()).toBe("from-nonce");
    server.release();
  });

  it("checks every later connection, also to the same address", async () => {
    const { url, port, close } = await listen();
    const server = await contact(url);
    await close();
    const impostor = await listen({ id: SERVICE_ID, port });
    await expect(server.readText("/healthz")).rejects.toThrow(untrusted);
    expect(impostor.connections()).toBe(1);
    expect(impostor.asked).toEqual([]);
    server.release();
  });

  it("refuses other authorities than the pinned ones, without a succession, and asks nothing else", async () => {
    const { url, asked } = await listen();
    await expect(contact(url, "A".repeat(43))).rejects.toThrow(untrusted);
    expect(asked).toEqual(["GET /v1/bundle", "GET /v1/successions"]);
  });

  it("proves every connection that it opens, also while it does not know yet whether the roots are right", async () => {
    const { url, asked } = await listen({ headers: { connection: "close" }, next: SERVICE_ID });
    await expect(contact(url, "A".repeat(43))).rejects.toThrow(untrusted);
    expect(asked).toEqual(["GET /v1/bundle"]);
  });

  it("refuses a peer that shows the genuine bundle but has no chain to it", async () => {
    const { url, asked } = await listen();
    const foreign = createAuthority({
      trustDomain: TRUST_DOMAIN,
      rootSigner: createInstanceKey().signer,
      intermediateSigner: createInstanceKey().signer,
      jwtSigner: createInstanceKey().signer,
      random: systemRuntime.random,
      now: NOW - 60,
    });
    const impostor = await listen({ document: formatTrustBundle(foreign.bundle) });
    await expect(contact(impostor.url, digestOfAuthorities(foreign.bundle))).rejects.toThrow(untrusted);
    expect(impostor.asked).toEqual(["GET /v1/bundle"]);
    expect(url).not.toBe(impostor.url);
    expect(asked).toEqual([]);
  });

  it("refuses a verifier or an agent of the same trust domain that plays the server", async () => {
    for (const id of [SERVICE_ID, "spiffe://acme.test/team/agent/inst-1"]) {
      const { url, asked } = await listen({ id });
      await expect(contact(url)).rejects.toThrow(untrusted);
      expect(asked).toEqual(["GET /v1/bundle"]);
    }
  });

  it("refuses discovery about another server, trust domain or scheme", async () => {
    const wrong = [
      { trust_domain: "other.test" },
      { server_id: SERVICE_ID },
      { stop_url: "http://127.0.0.1:7444" },
      { stop_url: "https://user@127.0.0.1:7444" },
    ];
    for (const discovery of wrong) {
      const { url } = await listen({ discovery });
      await expect(contact(url)).rejects.toThrow(untrusted);
    }
  });

  it("refuses an address that is no https origin, before connecting", async () => {
    for (const url of ["http://127.0.0.1:7443", "https://127.0.0.1:7443/path", "nonsense"]) {
      await expect(contact(url)).rejects.toThrow(untrusted);
    }
  });

  it("says that nobody answers when nobody does", async () => {
    await expect(contact("https://127.0.0.1:1")).rejects.toThrow(
      expect.objectContaining({ code: "server_unreachable" }),
    );
  });
});
