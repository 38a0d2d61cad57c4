import "@trustwarden/core/agentid/reflect.test.support.ts";
import { type webcrypto, X509Certificate } from "node:crypto";
import { type Agent, request } from "node:https";
import type { AddressInfo } from "node:net";
import { createServer as createPlainServer, Socket } from "node:net";
import {
  connect,
  createSecureContext,
  createServer as createTlsServer,
  type SecureContext,
  TLSSocket,
} from "node:tls";
import * as x509 from "@peculiar/x509";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTestDomain, startTestServer, type TestSvid } from "./tls.test.support.ts";
import { createPeerCheckedAgent, type PeerCheck, peerChainOf } from "./tls.ts";

const domain = createTestDomain();
const serverSvid = domain.issue(["trustwarden", "server", "inst-S"]);
const clientSvid = domain.issue(["team", "worker", "inst-A"]);

let agents: Agent[] = [];
let stops: (() => void)[] = [];
let requests: { leafSha256: string; uris: string | undefined; isReused: boolean; chain: number }[] = [];

beforeEach(() => {
  agents = [];
  stops = [];
  requests = [];
});
afterEach(() => {
  for (const agent of agents) agent.destroy();
  for (const stop of stops) stop();
});

async function start(svid: TestSvid = serverSvid): Promise<string> {
  const { server, url } = await startTestServer(svid, (incoming, answer) => {
    const socket = incoming.socket;
    if (!(socket instanceof TLSSocket)) throw new Error("TLS");
    const peer = socket.getPeerX509Certificate();
    requests.push({
      leafSha256: peer?.fingerprint256 ?? "none",
      uris: peer?.subjectAltName,
      isReused: socket.isSessionReused(),
      chain: peer === undefined ? 0 : peerChainOf(socket).length,
    });
    answer.end("ok");
  });
  stops.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return url;
}

function agentWith(check: Partial<PeerCheck> = {}): Agent {
  const agent = createPeerCheckedAgent({
    svid: () => clientSvid.current,
    bundle: () => domain.bundle,
    acceptPeer: (id) => id === serverSvid.id,
    ...check,
  });
  agents.push(agent);
  return agent;
}

function get(url: string, agent: Agent): Promise<{ status: number | undefined; socket: Socket }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent }, (answer) => {
      const { socket } = answer;
      answer.resume().once("end", () => resolve({ status: answer.statusCode, socket }));
    });
    outgoing.once("error", reject);
    outgoing.end();
  });
}

describe("createPeerCheckedAgent", () => {
  test("proves both ends: the server sees leaf and intermediate, the client gets its answer", async () => {
    const { status, socket } = await get(await start(), agentWith());
    expect(status).toBe(200);
    expect(requests).toMatchObject([{ uris: `URI:${clientSvid.id}`, chain: 2 }]);
    expect(peerChainOf(socket).map((der) => Buffer.from(der))).toEqual(
      serverSvid.chain.map((der) => Buffer.from(der)),
    );
    expect(peerChainOf(socket)).toBe(peerChainOf(socket));
  });

  test("connects without an SVID when there is none yet", async () => {
    expect((await get(await start(), agentWith({ svid: undefined }))).status).toBe(200);
    expect(requests).toMatchObject([{ chain: 0 }]);
  });

  const now = Math.floor(Date.now() / 1000);
  const refused: readonly (readonly [string, () => TestSvid, string])[] = [
    ["of another name", () => domain.issue(["team", "other", "inst-B"]), "not accepted"],
    ["of another trust domain", () => createTestDomain("evil.test").issue(["x"]), "trust_domain_unknown"],
    [
      "with our trust domain's name and another root",
      () => createTestDomain().issue(["trustwarden", "server", "inst-S"]),
      "svid_untrusted",
    ],
    [
      "whose SVID has expired",
      () => domain.issue(["trustwarden", "server", "inst-S"], { now: now - 7200, notAfter: now - 3600 }),
      "svid_expired",
    ],
  ];
  test.each(refused)(
    "refuses a peer %s before a byte of the request is written",
    async (_name, svid, reason) => {
      const url = await start(svid());
      await expect(get(url, agentWith())).rejects.toMatchObject({
        code: "peer_untrusted",
        details: { reason },
      });
      await expect(get(url, agentWith({ refusal: "server_untrusted" }))).rejects.toMatchObject({
        code: "server_untrusted",
      });
      expect(requests).toEqual([]);
    },
  );

  test("refuses a peer that speaks TLS 1.2 at most, and no variable of the environment makes it lenient", async () => {
    const older = createTlsServer({ key: serverSvid.key, cert: serverSvid.cert, maxVersion: "TLSv1.2" });
    await new Promise<void>((resolve) => older.listen(0, "127.0.0.1", resolve));
    stops.push(() => older.close());
    const { port } = older.address() as AddressInfo;
    await expect(get(`https://127.0.0.1:${port}`, agentWith())).rejects.toBeInstanceOf(Error);
    const url = await start();
    const stranger = await start(createTestDomain().issue(["trustwarden", "server", "inst-S"]));
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    vi.stubEnv("HTTPS_PROXY", "http://127.0.0.1:1");
    try {
      await expect(get(stranger, agentWith())).rejects.toMatchObject({ code: "peer_untrusted" });
      expect((await get(url, agentWith())).status).toBe(200);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("reports a peer that hangs up in the handshake", async () => {
    const plain = createPlainServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    stops.push(() => plain.close());
    const { port } = plain.address() as AddressInfo;
    await expect(get(`https://127.0.0.1:${port}`, agentWith())).rejects.toBeInstanceOf(Error);
  });

  test("reuses a connection for one SVID and opens another after a renewal", async () => {
    const url = await start();
    let current = clientSvid;
    const agent = agentWith({ svid: () => current.current });
    const first = await get(url, agent);
    const second = await get(url, agent);
    expect(second.socket).toBe(first.socket);
    current = domain.issue(["team", "worker", "inst-A"]);
    const third = await get(url, agent);
    expect(third.socket).not.toBe(first.socket);
    expect(requests.map(({ leafSha256 }) => leafSha256)).toEqual([
      fingerprintOf(clientSvid),
      fingerprintOf(clientSvid),
      fingerprintOf(current),
    ]);
  });

  test("never resumes a session", async () => {
    const url = await start();
    for (let round = 0; round < 3; round += 1) {
      const agent = agentWith();
      const { socket } = await get(url, agent);
      expect(socket instanceof TLSSocket && socket.isSessionReused()).toBe(false);
      agent.destroy();
    }
    expect(requests.map(({ isReused }) => isReused)).toEqual([false, false, false]);
  });
});

describe("a server with our TLS options", () => {
  test("does not resume the session of a client that insists", async () => {
    const { port } = new URL(await start());
    let session: Buffer | undefined;
    const visit = () =>
      new Promise<boolean>((resolve, reject) => {
        const { key, cert } = clientSvid;
        const options = { host: "127.0.0.1", port: Number(port), key, cert, rejectUnauthorized: false };
        const socket = connect({ ...options, ...(session === undefined ? {} : { session }) });
        let isReused = false;
        socket.on("session", (offered: Buffer) => {
          session = offered;
        });
        socket.on("secureConnect", () => {
          isReused = socket.isSessionReused();
          socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        });
        socket.resume();
        socket.on("error", reject);
        socket.on("close", () => resolve(isReused));
      });
    expect(await visit()).toBe(false);
    expect(await visit()).toBe(false);
    expect(requests.map(({ isReused }) => isReused)).toEqual([false, false]);
  });
});

describe("peerChainOf", () => {
  test("refuses a socket without TLS", () => {
    expect(() => peerChainOf(new Socket())).toThrow("no_svid");
  });

  test("takes a chain with its root, once", async () => {
    const [root] = domain.bundle.x509Authorities;
    const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(root?.der ?? []).toString("base64")}\n-----END CERTIFICATE-----\n`;
    const url = await start({ ...serverSvid, cert: `${serverSvid.cert}${pem}` });
    const { socket } = await get(url, agentWith());
    expect(peerChainOf(socket)).toHaveLength(3);
  });

  test("takes four certificates and refuses five", async () => {
    const codes: string[] = [];
    const { server, url } = await startTestServer(serverSvid, (incoming, answer) => {
      try {
        codes.push(String(peerChainOf(incoming.socket).length));
      } catch (error) {
        codes.push(String(error));
      }
      answer.end();
    });
    stops.push(() => server.close());
    for (const length of [4, 5]) {
      const current = { sha256: `chain of ${length}`, secureContext: await createLongChain(length) };
      await get(url, agentWith({ svid: () => current }));
    }
    expect(codes).toEqual(["4", expect.stringContaining("svid_malformed")]);
  });

  test("refuses a peer without a certificate", async () => {
    const codes: string[] = [];
    const { server, url: strict } = await startTestServer(serverSvid, (incoming, answer) => {
      try {
        peerChainOf(incoming.socket);
      } catch (error) {
        codes.push(String(error));
      }
      answer.end();
    });
    stops.push(() => server.close());
    await get(strict, agentWith({ svid: undefined }));
    expect(codes).toEqual([expect.stringContaining("no_svid")]);
  });
});

function fingerprintOf({ chain }: TestSvid): string {
  return new X509Certificate(chain[0] ?? new Uint8Array()).fingerprint256;
}

/** Credentials of a leaf under `length - 1` authorities, all of which are sent. */
async function createLongChain(length: number): Promise<SecureContext> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const certificates: x509.X509Certificate[] = [];
  let issuer: { readonly name: string; readonly keys: webcrypto.CryptoKeyPair } | undefined;
  for (let depth = 0; depth < length; depth += 1) {
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const name = `CN=depth ${depth}`;
    const certificate = await x509.X509CertificateGenerator.create({
      subject: name,
      issuer: issuer?.name ?? name,
      publicKey: keys.publicKey,
      signingKey: (issuer ?? { keys }).keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [new x509.BasicConstraintsExtension(depth < length - 1)],
    });
    certificates.unshift(certificate);
    issuer = { name, keys };
  }
  if (issuer === undefined) throw new Error("a chain has a leaf");
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", issuer.keys.privateKey)).toString(
    "base64",
  );
  return createSecureContext({
    cert: certificates.map((certificate) => certificate.toString("pem")).join("\n"),
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    minVersion: "TLSv1.3",
  });
}
