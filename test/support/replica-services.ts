/**
 * What two servers share beside store and ledger: the origin by which browsers call both, an endpoint that takes their events, and
 * witnesses of their ledger.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RawAnswer, type RawRequest, send, sendClear } from "./http.ts";
import type { TestServer } from "./server.ts";
import { createWebCertificate } from "./web-certificate.ts";
import { follow, startTestWitnesses } from "./witnesses.ts";

/** By which clients of OAuth call both. */
export const OAUTH_URL = "https://warden.acme.test";

/** An event as the endpoint took it. */
export interface TakenEvent {
  readonly kind: string;
  readonly event_id: string;
  readonly indexes: readonly number[];
}

/** Opened; `settings` are for the servers. */
export interface ReplicaServices {
  /** What the endpoint took, repetitions too. */
  readonly taken: readonly TakenEvent[];
  readonly settings: object;
  /** A certificate of the web, for listeners of theirs. */
  readonly web: { readonly certFile: string; readonly keyFile: string };
  /** Of this machine, where servers reach them. */
  readonly ports: readonly number[];
  /** Has the witnesses know the log. */
  witness(server: TestServer): Promise<void>;
  close(): Promise<void>;
}

export async function openReplicaServices(): Promise<ReplicaServices> {
  const root = mkdtempSync(join(tmpdir(), "tw-services-"));
  const web = createWebCertificate();
  const taken: TakenEvent[] = [];
  const files = { key: readFileSync(web.keyFile), cert: readFileSync(web.certFile) };
  const endpoint = createServer(files, (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const lines = Buffer.concat(parts).toString().trimEnd().split("\n");
      for (const line of lines) taken.push(JSON.parse(line));
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => endpoint.listen(0, "127.0.0.1", resolve));
  const { port } = endpoint.address() as AddressInfo; // The cast: a TCP server has an address of that form.
  const { witnesses, policyFile } = await startTestWitnesses(join(root, "witnesses"));
  const caFile = join(root, "web-ca.pem");
  writeFileSync(caFile, web.ca);
  return {
    taken,
    web: { certFile: web.certFile, keyFile: web.keyFile },
    ports: [port, ...witnesses.map(({ url }) => Number(new URL(url).port))],
    settings: {
      sinks: [{ kind: "webhook", name: "siem", url: `https://127.0.0.1:${port}/hook`, caFile }],
      witnesses: { policyFile, whenSilent: "start", intervalMs: 100 },
      oauth: { url: OAUTH_URL },
    },
    witness: async (server) => {
      const policy = await send(server.url, { target: "/ledger/witness-policy" });
      const [, vkey = ""] = /^log (\S+)/m.exec(policy.text) ?? [];
      await follow(witnesses, vkey);
    },
    close: async () => {
      endpoint.closeAllConnections();
      await new Promise((resolve) => endpoint.close(resolve));
      for (const { stop } of witnesses) await stop();
      web.remove();
      rmSync(root, { recursive: true });
    },
  };
}

/** Sends what a page of the console sends, to whichever server listens there: browsers call both by one origin. */
export function sendToConsole(
  { port, origin }: { readonly port: number; readonly origin: string },
  request: RawRequest,
  cookie: string,
): Promise<RawAnswer> {
  const { host } = new URL(origin);
  const own = { host, origin, cookie, "sec-fetch-site": "same-origin", "trustwarden-console": "1" };
  return sendClear(
    { host: "127.0.0.1", port: String(port) },
    { ...request, headers: { ...own, ...request.headers } },
  );
}
