/** For tests: a source in memory with real certificates, and a client that speaks gRPC and nothing more. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  createTestDomain,
  issueTestLeaf,
  NOW,
  type TestDomain,
} from "@trustwarden/core/agentid/certificate.test.support.ts";
import { issueJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { issueWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createDeliveredKey } from "trustwarden/peer.ts";
import type {
  DeliveredSvid,
  DeliveredWit,
  InstanceDescription,
  WorkloadPeer,
  WorkloadSource,
  WorkloadState,
} from "../ports.ts";
import { formatPrivateJwk } from "../wit-keys.ts";
import { AGENT_SERVICE, WORKLOAD_SERVICE } from "./protocol.ts";
import { createWorkloadApi, type WorkloadApi } from "./workload-api.ts";

export { NOW } from "@trustwarden/core/agentid/certificate.test.support.ts";

/** A directory that goes with the test. */
export function temporaryDirectory(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "trustwarden-node-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** An SVID of the domain with its key, for any path. */
export function deliverSvid(domain: TestDomain, segments: readonly string[], hint = ""): DeliveredSvid {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
  const spki = createPublicKey(createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" })).export({
    type: "spki",
    format: "der",
  });
  const spiffeId = formatSpiffeId(domain.trustDomain, segments);
  const leaf = issueLeafCertificate({
    id: spiffeId,
    spki,
    ca: domain.intermediate,
    signer: domain.signers.intermediate,
    serial: createSerial((length) => new Uint8Array(length).fill(7)),
    now: NOW,
    notAfter: NOW + 3600,
  });
  return { spiffeId, chain: [leaf, domain.intermediate.der], keyPkcs8: pkcs8, hint };
}

/** What a test does to its source. */
export interface MemorySource extends WorkloadSource {
  readonly domain: TestDomain;
  readonly peers: WorkloadPeer[];
  state: WorkloadState;
  /** Thrown by every question until it is undefined again. */
  failure: unknown;
  /** Whether the WIT profile is served. */
  isWit: boolean;
  /** How long a WIT-SVID of it lives, in seconds. */
  witTtlSeconds: number;
  readonly push: (state: WorkloadState) => void;
  readonly end: (error: unknown) => void;
  readonly subscriberCount: () => number;
}

/** One state for everybody who asks. */
export function createMemorySource(domain = createTestDomain()): MemorySource {
  const subscribers = new Set<{ onState: (state: WorkloadState) => void; onEnd: (error: unknown) => void }>();
  const source: MemorySource = {
    domain,
    peers: [],
    failure: undefined,
    isWit: false,
    witTtlSeconds: 300,
    state: {
      svids: [
        deliverSvid(domain, ["team", "pay", "inst-1"], "instance"),
        deliverSvid(domain, ["team", "pay"], "class"),
      ],
      bundles: [domain.bundle],
    },
    push: (state) => {
      source.state = state;
      for (const { onState } of subscribers) onState(state);
    },
    end: (error) => {
      for (const { onEnd } of subscribers) onEnd(error);
    },
    subscriberCount: () => subscribers.size,
    subscribe: async (peer, onState, onEnd) => {
      source.peers.push(peer);
      if (source.failure !== undefined) throw source.failure;
      const subscriber = { onState, onEnd };
      subscribers.add(subscriber);
      onState(source.state);
      return { close: () => void subscribers.delete(subscriber) };
    },
    issueJwtSvids: async (_peer, { audience, spiffeId }) => {
      if (source.failure !== undefined) throw source.failure;
      const wanted = source.state.svids.filter((svid) => spiffeId === null || svid.spiffeId === spiffeId);
      if (wanted.length === 0) throw new TrustWardenError("no_identity");
      return wanted.map(({ spiffeId: id, hint }) => ({
        spiffeId: id,
        hint,
        svid: issueTestJwt(domain, { id, audience: audience[0] ?? "" }),
      }));
    },
    isWitServed: () => source.isWit,
    issueWitSvids: async (_peer, { spiffeId }) => {
      if (source.failure !== undefined) throw source.failure;
      const wanted = source.state.svids.filter((svid) => spiffeId === null || svid.spiffeId === spiffeId);
      if (wanted.length === 0) throw new TrustWardenError("no_identity");
      return wanted.map(({ spiffeId: id, hint }) => issueTestWit(source, { id, hint }));
    },
    bundles: () => source.state.bundles,
    describe: async () => source.state.svids.map(describeSvid),
  };
  return source;
}

/** A token of the domain. */
export function issueTestJwt(
  { bundle, signers }: TestDomain,
  { id, audience }: { readonly id: DeliveredSvid["spiffeId"]; readonly audience: string },
): string {
  const [kid = ""] = bundle.jwtAuthorities.keys();
  const claims = { "https://trustwarden.dev/owner": "own_1" };
  const lifetime = { now: NOW, ttlSeconds: 300 };
  return issueJwtSvid({
    id,
    audience,
    issuer: "https://acme.test",
    kid,
    jti: "01J",
    ...lifetime,
    signer: signers.jwt,
    claims,
  });
}

/** A token of the domain for a new key. */
function issueTestWit(
  { domain, witTtlSeconds }: Pick<MemorySource, "domain" | "witTtlSeconds">,
  { id, hint }: { readonly id: DeliveredSvid["spiffeId"]; readonly hint: string },
): DeliveredWit {
  const key = createDeliveredKey();
  const svid = issueWitSvid({
    id,
    confirmationKey: key.key.signer.publicKey,
    kid: domain.witKid,
    jti: key.key.thumbprint,
    now: NOW,
    ttlSeconds: witTtlSeconds,
    signer: domain.signers.wit,
  });
  return { spiffeId: id, svid, keyJwk: formatPrivateJwk(key), hint, expiresAt: NOW + witTtlSeconds };
}

function describeSvid({ spiffeId, hint }: DeliveredSvid): InstanceDescription {
  return {
    spiffeId,
    instanceId: "inst-1",
    agentId: "agt_1",
    chainSha256: "abc",
    chain: ["owner:own_1", "agt_1"],
    scope: ["read:transactions"],
    strength: "unix",
    svidExpiresAt: NOW + 3600,
    instanceExpiresAt: NOW + 7200,
    hint,
  };
}

/** A running endpoint with its source. */
export async function startMemoryEndpoint(source = createMemorySource()): Promise<{
  readonly source: MemorySource;
  readonly api: WorkloadApi;
  readonly client: TestClient;
  readonly close: () => Promise<void>;
}> {
  const directory = temporaryDirectory();
  const api = await createWorkloadApi({
    source,
    socketPath: join(directory.path, "agent.sock"),
    now: () => NOW,
  });
  const client = createTestClient(api.socketPath);
  return {
    source,
    api,
    client,
    close: async () => {
      client.close();
      await api.close();
      directory.remove();
    },
  };
}

/** How a call ended. */
export interface Ending {
  readonly code: number;
  readonly details: string;
}

/** A stream as it comes. */
export interface TestStream {
  readonly messages: ReadonlyArray<Readonly<Record<string, unknown>>>;
  readonly ended: Promise<Ending>;
  /** Resolves when so many messages are there. */
  readonly have: (count: number) => Promise<void>;
  readonly cancel: () => void;
}

/** Calls methods by their name. */
export interface TestClient {
  readonly stream: (method: string, request?: object, headers?: Metadata) => TestStream;
  readonly unary: (
    method: string,
    request: object,
    headers?: Metadata,
  ) => Promise<Readonly<Record<string, unknown>>>;
  readonly close: () => void;
}

/** Exactly the header that is asked for. */
export function securityHeader(...values: readonly string[]): Metadata {
  const metadata = new Metadata();
  for (const value of values) metadata.add("workload.spiffe.io", value);
  return metadata;
}

export function createTestClient(socketPath: string): TestClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  return {
    stream: (method, request = {}, headers = securityHeader("true")) => {
      const { path, requestSerialize, responseDeserialize } = methodOf(method);
      return followStream(
        client.makeServerStreamRequest(
          path,
          requestSerialize,
          (bytes) => Object(responseDeserialize(bytes)),
          request,
          headers,
        ),
      );
    },
    unary: (method, request, headers = securityHeader("true")) => {
      const { path, requestSerialize, responseDeserialize } = methodOf(method);
      const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
      const done = (error: ServiceError | null, value?: Readonly<Record<string, unknown>>) =>
        error === null && value !== undefined ? resolve(value) : reject(error);
      client.makeUnaryRequest(
        path,
        requestSerialize,
        (bytes) => Object(responseDeserialize(bytes)),
        request,
        headers,
        done,
      );
      return promise;
    },
    close: () => client.close(),
  };
}

function followStream(call: ReturnType<Client["makeServerStreamRequest"]>): TestStream {
  const messages: Readonly<Record<string, unknown>>[] = [];
  const ended = Promise.withResolvers<Ending>();
  const waiting = new Set<{
    readonly count: number;
    readonly resolve: () => void;
    readonly reject: (why: Error) => void;
  }>();
  call.on("data", (message: object) => {
    messages.push({ ...message });
    for (const one of waiting) if (messages.length >= one.count) one.resolve();
  });
  call.on("error", () => {});
  call.on("status", ({ code, details }: Ending) => {
    ended.resolve({ code, details });
    for (const one of waiting) one.reject(new Error(`ended: ${code} ${details}`));
  });
  return {
    messages,
    ended: ended.promise,
    have: (count) => {
      if (messages.length >= count) return Promise.resolve();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.add({ count, resolve, reject });
      return promise;
    },
    cancel: () => call.cancel(),
  };
}

function methodOf(name: string) {
  const method = WORKLOAD_SERVICE[name] ?? AGENT_SERVICE[name];
  if (method === undefined) throw new Error(`no method ${name}`);
  return method;
}

/** A leaf of another key, for what must not verify. */
export const otherDomain = (): TestDomain => createTestDomain("other.test");
export { issueTestLeaf };
