/**
 * The one way out of a sandbox: an HTTP proxy on a unix socket that opens tunnels to the places an operator named.
 *
 * CONNECT only: the tunnel's ends speak TLS with each other, and nothing is read here. Names are resolved on this side,
 * once, and every refusal is the same sentence. Who owns a name decides where it leads, so one that leads to this machine or
 * its link is not followed: services there trust whoever reaches them.
 *
 * @see RFC 9110 §9.3.6
 */

import { lookup as lookUp } from "node:dns";
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { BlockList, connect, type LookupFunction, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { hangUp, joinSockets } from "./two-way.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 8_192;
const MAX_TUNNELS = 256;
const PLACE =
  /^(?<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]):(?<port>[1-9][0-9]{0,4})$/;
const MAX_PORT = 65_535;

/** Where a name must not lead. */
const HERE = new BlockList();
HERE.addSubnet("0.0.0.0", 8);
HERE.addSubnet("127.0.0.0", 8);
HERE.addSubnet("169.254.0.0", 16);
HERE.addAddress("::", "ipv6");
HERE.addAddress("::1", "ipv6");
HERE.addSubnet("fe80::", 10, "ipv6");

/** A host and port that may be reached. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** A running proxy. */
export interface WayOut {
  readonly socketPath: string;
  /** Tunnels that were asked for and refused, newest last, bounded: for the report. */
  readonly refused: readonly string[];
  close(): Promise<void>;
}

/** @throws TrustWardenError `usage` unless it is `host:port`, lower case, without a wildcard. */
export function parsePlace(text: string): Place {
  const { host, port } = PLACE.exec(text)?.groups ?? {};
  if (host === undefined || Number(port) > MAX_PORT)
    throw new TrustWardenError("usage", { why: `${text.slice(0, 100)} is not host:port` });
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** Starts the proxy. @throws TrustWardenError `bind_refused`. */
export async function openWayOut(options: {
  readonly socketPath: string;
  readonly allowed: readonly Place[];
  /** The system's unless given. */
  readonly lookup?: LookupFunction;
}): Promise<WayOut> {
  const { socketPath, allowed, lookup = lookUp } = options;
  const refused: string[] = [];
  const tunnels = new Set<Duplex>();
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS },
    (_request, response) => response.writeHead(405).end("Only CONNECT is served here.\n"),
  );
  // Open ones without a request count as well.
  server.maxConnections = MAX_TUNNELS;
  server.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    const place = findAllowed(allowed, request.url ?? "");
    if (place === undefined || tunnels.size >= MAX_TUNNELS) {
      if (refused.length < MAX_TUNNELS) refused.push((request.url ?? "").slice(0, 256));
      hangUp(socket, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    tunnels.add(socket);
    socket.once("close", () => tunnels.delete(socket));
    openTunnel({ place, lookup }, socket, head);
  });
  await listen(server, socketPath);
  return {
    socketPath,
    refused,
    close: async () => {
      for (const tunnel of tunnels) tunnel.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(socketPath, { force: true });
    },
  };
}

function findAllowed(allowed: readonly Place[], target: string): Place | undefined {
  try {
    const { host, port } = parsePlace(target.toLowerCase());
    return allowed.find((place) => place.host === host && place.port === port);
  } catch {
    // Safe: what is no place is not on the list.
    return undefined;
  }
}

function openTunnel(
  { place, lookup }: { readonly place: Place; readonly lookup: LookupFunction },
  socket: Duplex,
  head: Buffer,
): void {
  const { host, port } = place;
  const upstream: Socket = connect({ host, port, lookup: host === "localhost" ? lookup : elsewhere(lookup) });
  upstream.setTimeout(CONNECT_TIMEOUT_MS, () => upstream.destroy(new Error("timeout")));
  let isOpen = false;
  upstream.once("connect", () => {
    isOpen = true;
    upstream.setTimeout(0);
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) upstream.write(head);
    void joinSockets(socket, upstream);
  });
  upstream.once("error", () => {
    if (!isOpen) hangUp(socket, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  socket.once("close", () => {
    if (!isOpen) upstream.destroy();
  });
}

/** Addresses of a name that are not of this machine or its link; none is an error, as for a name that is not there. */
function elsewhere(lookup: LookupFunction): LookupFunction {
  return (name, options, done) =>
    lookup(name, { ...options, all: true }, (error, found) => {
      const addresses = typeof found === "string" ? [] : found;
      const isHere = addresses.some(({ address, family }) =>
        HERE.check(address, family === 6 ? "ipv6" : "ipv4"),
      );
      if (error !== null) done(error, []);
      else if (isHere) done(new Error("the name leads to this machine"), []);
      else if (options.all === true) done(null, addresses);
      else done(null, addresses[0]?.address ?? "", addresses[0]?.family);
    });
}

async function listen(server: Server, socketPath: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (cause) => reject(new TrustWardenError("bind_refused", { socketPath }, { cause })));
  server.listen({ path: socketPath }, resolve);
  await promise;
  // The account inside the walls may be another one; the directory says who gets here.
  chmodSync(socketPath, 0o666);
}
