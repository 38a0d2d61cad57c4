/** Another trust domain: its issuer, and an endpoint that publishes whatever the attacker wants. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { createWebCertificate } from "../../test/support/web-certificate.ts";
import type { World } from "./world.ts";

/** What the endpoint answers next. */
export interface Publication {
  readonly status?: number;
  readonly location?: string;
  readonly body?: string;
}

/** A bundle endpoint by `https_web`, on loopback. */
export interface PartnerEndpoint {
  readonly url: string;
  /** PEM of what certifies it. */
  readonly ca: string;
  publish(publication: Publication): void;
  close(): void;
}

/** An operator's word about federation. */
export function askFederation(world: World, target: string, body: object): Promise<RawAnswer> {
  const text = JSON.stringify(body);
  return sendAdmin(world.server.adminSocket, {
    method: "POST",
    target: `/v1/federations${target}`,
    body: text,
  });
}

export async function openPartnerEndpoint(): Promise<PartnerEndpoint> {
  const certificate = createWebCertificate();
  let next: Publication = {};
  const pair = { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) };
  const server: Server = createServer(pair, (_request, response) => {
    const { status = 200, location, body = "" } = next;
    response.writeHead(status, location === undefined ? {} : { location });
    response.end(body);
  });
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = Object(server.address()) as AddressInfo; // the one cast: a TCP server's address
  return {
    url: `https://localhost:${port}`,
    ca: certificate.ca,
    publish: (publication) => {
      next = publication;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
      certificate.remove();
    },
  };
}
