/**
 * The node's admin socket: why a process has an identity, or has none.
 *
 * Mode 0600 in the node's 0700 directory, so that only root and the node's own account may ask. It gives no identity and
 * changes nothing.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { publicError, TrustWardenError } from "@trustwarden/core/error.ts";
import { readLocalProcess } from "./attest/local-process.ts";
import type { UnixAttestor } from "./attest/unix-attestor.ts";
import type { AttestedSource } from "./attested-source.ts";
import { explainEntries } from "./entries.ts";

const EXPLAIN = /^\/explain\?pid=([1-9]\d{0,9})$/;

/** What the socket answers from. */
export interface NodeAdminOptions {
  readonly adminSocket: string;
  readonly attestor: UnixAttestor;
  readonly source: AttestedSource;
  readonly nodeName: string;
}

/** Listens until `close`. @throws TrustWardenError `bind_refused`. */
export async function createNodeAdmin(
  options: NodeAdminOptions,
): Promise<{ readonly close: () => Promise<void> }> {
  const { adminSocket } = options;
  const server = createServer((request, response) => void answer(options, request, response));
  server.requestTimeout = 5000;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  rmSync(adminSocket, { force: true });
  server.once("error", (cause) => reject(new TrustWardenError("bind_refused", { adminSocket }, { cause })));
  server.listen(adminSocket, resolve);
  await promise;
  chmodSync(adminSocket, 0o600);
  return {
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  options: NodeAdminOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    send(response, 200, await explain(options, request));
  } catch (error) {
    const known =
      error instanceof TrustWardenError ? error : new TrustWardenError("internal", {}, { cause: error });
    // Not the vague sentence of the outside: whoever may open this socket may know.
    send(response, known.status, { error: { ...publicError(known).error, code: known.code } });
  }
}

async function explain(
  { attestor, source, nodeName }: NodeAdminOptions,
  { method, url = "" }: IncomingMessage,
) {
  const pid = EXPLAIN.exec(url)?.[1];
  if (method !== "GET" || pid === undefined) throw new TrustWardenError("not_found");
  const { processKey, selectors, facts } = await attestor.attest(readLocalProcess(Number(pid)));
  const entries = explainEntries(source.entries, selectors, nodeName);
  return {
    pid: facts.pid,
    node: nodeName,
    exe: facts.exe,
    selectors: formatSelectors(selectors),
    entries: entries.map(({ entryId, path, name, missing, refused }) => ({
      entry_id: entryId,
      path,
      name,
      matches: missing.length === 0 && refused === undefined,
      missing,
      refused: refused ?? null,
    })),
    instances: source.describeProcess(processKey).map(({ spiffeId, instanceId, svidExpiresAt }) => ({
      spiffe_id: spiffeId,
      instance_id: instanceId,
      svid_expires_at: svidExpiresAt,
    })),
  };
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
