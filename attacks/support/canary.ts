/** Listeners on loopback that nobody may reach, and issuers that lead there. */
import { createServer as createHttpServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";

/** What an answer would show, were it ever passed on. */
export const CANARY_TEXT = "CANARY-7f3a-metadata-credentials";

/** Counts the connections that it gets. */
export interface Canary {
  readonly port: number;
  readonly connections: () => number;
}

/** Takes connections on every loopback address, answers with the canary's text, and ends with the process. */
export async function openCanary(): Promise<Canary> {
  let count = 0;
  const server = createServer((socket) => {
    count += 1;
    socket.on("error", () => socket.destroy());
    socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${CANARY_TEXT.length}\r\n\r\n${CANARY_TEXT}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
  return { port, connections: () => count };
}

/** An HTTP server on loopback that ends with the process; its address. */
export async function openHttp(handler: RequestListener): Promise<string> {
  const server = createHttpServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
  return `http://127.0.0.1:${port}`;
}
