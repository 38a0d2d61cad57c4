/**
 * A real server in a temporary directory, with an owner, for the SDK's tests: nothing here stands in for anything.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatOwnerKeyid, issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { type ApprovalView, approvalView, questionOf } from "@trustwarden/core/api/approval.ts";
import { ownerAnswer, ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { issueApproval, requireShown } from "@trustwarden/core/approval.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { Route } from "@trustwarden/core/route-table.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { parseConfig, type ServerSettings } from "../server/config.ts";
import { startServer } from "../server/main.ts";
import type { VisitFetch } from "./fetch-handler.ts";
import { createInstanceKey } from "./instance-key.ts";
import type { VisitListener } from "./node-handler.ts";
import { systemRuntime } from "./runtime.ts";
import { peerChainOf } from "./tls.ts";
import { type GuardAgents, verifyAgent } from "./verify-agent.ts";

const TRUST_DOMAIN = "acme.test";

/** What a ticket says, where a test does not care. */
interface TicketOptions {
  readonly name: string;
  readonly scope: readonly string[];
  readonly ttlSeconds?: number;
  readonly limits?: { readonly depth: number; readonly fan_out: number; readonly budget: number | null };
}

/** A running server and the right to enrol with it. */
export interface LiveServer {
  readonly url: string;
  /** Empty without a gateway. */
  readonly gatewayUrl: string;
  /** Origin of the console; empty without one. */
  readonly consoleUrl: string;
  readonly dataDir: string;
  readonly ticket: (options: TicketOptions) => string;
  readonly verifierTicket: (name: string) => Promise<string>;
  /** The owner's signed answer to a request that waits. */
  readonly answer: (id: string, answer: "approve" | "deny") => Promise<ApprovalView>;
  readonly admin: (method: string, path: string, body?: object) => Promise<unknown>;
  /** Ends the process's server and starts another on the same data and ports. Leases must be closed before. @param meanwhile - what somebody does to the files of the whole machine. */
  readonly restart: (meanwhile?: (directory: string) => void | Promise<void>) => Promise<void>;
  readonly close: () => Promise<void>;
}

interface LiveSettings {
  readonly hasGateway?: boolean;
  readonly policyDir?: string;
  readonly policy?: NonNullable<ServerSettings["policy"]>;
  readonly console?: NonNullable<ServerSettings["console"]>;
  readonly backup?: NonNullable<ServerSettings["backup"]>;
}

export async function startLiveServer(settings: LiveSettings = {}): Promise<LiveServer> {
  const directory = mkdtempSync(join(tmpdir(), "trustwarden-sdk-"));
  const dataDir = join(directory, "data");
  const config = parseLiveConfig(directory, { ...settings, dataDir });
  let server = await startServer(config);
  const admin = (method: string, path: string, body?: object) =>
    callAdmin({ socketPath: server.adminSocket, method, path, body });
  const key = createInstanceKey();
  const owner = ownerAnswer.parse(
    await admin("POST", "/v1/owners", {
      name: "alice",
      spki: encodeBase64url(encodeSpki(key.signer.publicKey)),
    }),
  );
  const { authorities_sha256 } = Object(await admin("GET", "/.well-known/trustwarden"));
  const ticket = ({ name, scope, ttlSeconds = 3600, limits }: TicketOptions): string => {
    const now = Math.floor(Date.now() / 1000);
    const document = {
      v: 1 as const,
      kind: "agent" as const,
      jti: formatUlid(Date.now(), systemRuntime.random),
      aud: `spiffe://${TRUST_DOMAIN}`,
      iat: now,
      exp: now + 600,
      owner: owner.owner_id,
      path: "team/finance",
      name,
      scope: parseScope(scope),
      ttl_seconds: ttlSeconds,
      limits: limits ?? { depth: 3, fan_out: 16, budget: null },
    };
    const envelope = issueTicket(document, key.signer, formatOwnerKeyid(key.signer.publicKey));
    return formatTicketValue({ authoritiesSha256: authorities_sha256, server: server.url, ticket: envelope });
  };
  return {
    url: server.url,
    gatewayUrl: server.gatewayUrl ?? "",
    consoleUrl: server.consoleUrl ?? "",
    dataDir,
    admin,
    ticket,
    answer: (id, answer) =>
      answerAs({ key, ownerId: owner.owner_id, admin, socketPath: server.adminSocket }, id, answer),
    verifierTicket: async (name) =>
      ticketAnswer.parse(await admin("POST", "/v1/verifier-tickets", { name, ttl_seconds: 3600 })).ticket,
    restart: async (meanwhile = () => undefined) => {
      const ports = {
        port: Number(new URL(server.url).port),
        stopPort: Number(new URL(server.stopUrl).port),
      };
      const { console: shown } = config;
      const again = shown && { ...shown, port: Number(new URL(server.consoleUrl ?? "").port) };
      await server.close();
      await meanwhile(directory);
      server = await startServer({ ...config, ...ports, console: again });
    },
    close: async () => {
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function parseLiveConfig(
  directory: string,
  { hasGateway = false, ...settings }: LiveSettings & { readonly dataDir: string },
) {
  return parseConfig({
    configDir: join(directory, "config"),
    trustDomain: TRUST_DOMAIN,
    port: 0,
    stopPort: 0,
    logLevel: "silent",
    ...(hasGateway && { gateway: { port: 0 } }),
    ...settings,
  });
}

async function answerAs(
  by: {
    readonly key: ReturnType<typeof createInstanceKey>;
    readonly ownerId: string;
    readonly admin: LiveServer["admin"];
    readonly socketPath: string;
  },
  id: string,
  answer: "approve" | "deny",
): Promise<ApprovalView> {
  const { key, admin, socketPath } = by;
  const view = approvalView.parse(await admin("GET", `/v1/approvals/${id}`));
  requireShown(view);
  const iat = Math.floor(Date.now() / 1000);
  const document = { v: 1, aud: `spiffe://${TRUST_DOMAIN}`, answer, iat, exp: iat + 900 } as const;
  const keyid = formatOwnerKeyid(key.signer.publicKey);
  const body = { approval: issueApproval({ ...document, ...questionOf(view) }, key.signer, keyid) };
  const path = `/v1/approvals/${id}/answer`;
  const { server_id: aud } = Object(await admin("GET", "/.well-known/trustwarden"));
  const payload = {
    v: 1,
    jti: formatUlid(Date.now(), systemRuntime.random),
    aud,
    owner: by.ownerId,
    method: "POST",
    target: path,
    body_sha256: encodeBase64url(sha256(encodeUtf8(JSON.stringify(body)))),
    iat,
    exp: iat + 60,
  };
  const header = encodeBase64url(encodeUtf8(issueEnvelope("owner-request", payload, key.signer, keyid)));
  const headers = { "trustwarden-owner": header };
  return approvalView.parse(await callAdmin({ socketPath, method: "POST", path, body, headers }));
}

/** A service behind `verifyAgent`, listening on loopback. */
export interface LiveService {
  readonly url: string;
  readonly port: number;
  readonly guardAgents: GuardAgents;
  /** Codes of refused visits, latest last. */
  readonly refusals: string[];
  readonly close: () => Promise<void>;
}

export async function startLiveService(
  live: LiveServer,
  options: {
    readonly name: string;
    readonly routes: readonly Route[];
    readonly listener: VisitListener;
    readonly port?: number;
  },
): Promise<LiveService> {
  const { name, routes, listener, port: wanted = 0 } = options;
  const refusals: string[] = [];
  const guardAgents = await verifyAgent({
    name,
    routes,
    ticket: await live.verifierTicket(name),
    onRefusal: (error) => refusals.push(Object(error).code ?? String(error)),
  });
  const server = guardAgents.createServer(listener);
  await new Promise<void>((resolve) => server.listen(wanted, "127.0.0.1", resolve));
  const { port } = Object(server.address()) as AddressInfo; // the one cast: a TCP server's address
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    guardAgents,
    refusals,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await guardAgents.close();
    },
  };
}

/** The same behind `fetchHandler`, with the smallest bridge from `node:http` to the web's types. */
export async function startFetchService(
  live: LiveServer,
  routes: readonly Route[],
  handler: VisitFetch,
): Promise<Pick<LiveService, "url" | "close">> {
  const guardAgents = await verifyAgent({ routes, ticket: await live.verifierTicket("fetching") });
  const visit = guardAgents.fetchHandler(handler);
  const server = createServer(guardAgents.tlsOptions(), async (request, response) => {
    const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [
      name,
      String(value),
    ]);
    const { method = "GET" } = request;
    const asked = new Request(`https://service.test${request.url}`, { method, headers });
    const answer = await visit(asked, { chain: () => peerChainOf(request.socket) });
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    try {
      for await (const part of answer.body ?? []) response.write(part);
      response.end();
    } catch {
      response.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = Object(server.address()) as AddressInfo; // the one cast: a TCP server's address
  return {
    url: `https://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await guardAgents.close();
    },
  };
}

function callAdmin(options: {
  readonly socketPath: string;
  readonly method: string;
  readonly path: string;
  readonly body: object | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const text = options.body === undefined ? undefined : JSON.stringify(options.body);
  const { socketPath, method, path } = options;
  const headers =
    text === undefined ? {} : { "content-type": "application/json", "content-length": text.length };
  const outgoing = request(
    { socketPath, method, path, headers: { host: "localhost", ...headers, ...options.headers } },
    async (answer) => {
      const parts: Uint8Array[] = [];
      for await (const part of answer) parts.push(part);
      const content = Buffer.concat(parts).toString();
      if (answer.statusCode !== 200) reject(new Error(`${method} ${path}: ${answer.statusCode} ${content}`));
      else resolve(JSON.parse(content));
    },
  );
  outgoing.on("error", reject);
  outgoing.end(text);
  return promise;
}
