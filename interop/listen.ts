/** A server of a judge's own, on this machine alone. */
import { once } from "node:events";
import type { Server } from "node:net";

/** Has it listen on a port that nobody has. @returns the port. */
export async function listenLocally(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return address.port;
}
