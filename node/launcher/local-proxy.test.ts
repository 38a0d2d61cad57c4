/** The way to the gateway for a launched process: who is refused holds nothing. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { expect, test } from "vitest";
import { openLocalProxy } from "./local-proxy.ts";

/** More than the proxy holds at once. */
const CLIENTS = 600;
const unused = () => Promise.reject(new TrustWardenError("internal"));

test.skipIf(process.platform !== "linux")(
  "refused tunnels are hung up on, so that others are heard",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "local-proxy-"));
    const socketPath = join(directory, "proxy.sock");
    const proxy = await openLocalProxy({
      call: unused,
      tunnel: unused,
      binding: () => undefined,
      socketPath,
    });
    const sockets: Socket[] = [];
    for (let index = 0; index < CLIENTS; index += 1) {
      const socket = connect({ path: socketPath, allowHalfOpen: true });
      sockets.push(socket.on("error", () => socket.destroy()));
      socket.write("CONNECT shop.test:443 HTTP/1.1\r\nHost: x\r\n\r\n");
      const said = await Promise.race([once(socket, "data"), once(socket, "close")]);
      expect(String(said[0]).split("\r\n", 1)).toEqual(["HTTP/1.1 403 Refused"]);
    }
    for (const socket of sockets) socket.destroy();
    await proxy.close();
    rmSync(directory, { recursive: true, force: true });
  },
);
