/** A relay between a test's server and its database, for what networks do. */
import { connect, createServer, type Socket } from "node:net";
import type { StateSettings } from "./protocol.ts";

/** A way to a database that can be cut, held, or robbed of an answer. */
export interface Proxy {
  /** The same store, through here. */
  of(settings: StateSettings): StateSettings;
  /** What is asked next arrives, and its answer never. */
  loseNextAnswer(): void;
  /** Ends every connection, and refuses new ones until `mend`. */
  cut(): void;
  mend(): void;
  /** Connections stay, and nothing gets through any more. */
  hang(): void;
  close(): Promise<void>;
}

/** Listens on a port of its own until it is closed. @param target - port of the database. */
export async function startProxy(target: number): Promise<Proxy> {
  let isLosing = false;
  let isCut = false;
  let isHanging = false;
  const sockets = new Set<Socket>();
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const listener = createServer((client) => {
    client.on("error", () => client.destroy());
    if (isCut) {
      client.destroy();
      return;
    }
    const database = connect(target, "127.0.0.1");
    database.on("error", () => database.destroy());
    sockets.add(client).add(database);
    let isLost = false;
    client.on("data", (bytes) => {
      if (isLosing && bytes.includes("apply_group")) {
        isLosing = false;
        isLost = true;
      }
      if (!isHanging) database.write(bytes);
    });
    database.on("data", (bytes) => (isHanging ? undefined : isLost ? client.destroy() : client.write(bytes)));
    client.on("close", () => database.end());
    database.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  return {
    of: (settings) => ({ ...settings, login: { ...settings.login, port: address.port } }),
    loseNextAnswer: () => {
      isLosing = true;
    },
    cut: () => {
      isCut = true;
      cut();
    },
    mend: () => {
      isCut = false;
    },
    hang: () => {
      isHanging = true;
    },
    close: async () => {
      cut();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}
