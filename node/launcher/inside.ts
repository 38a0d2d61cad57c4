#!/usr/bin/env node
/**
 * The first process inside a sandbox: listens on the namespace's own loopback, carries every connection to the launcher's
 * socket, and runs the command with `HTTPS_PROXY` set to itself.
 *
 * Arguments: `<socket of the way out> <command> [arguments]`. Ends as the command ends. It has no authority of its own:
 * what may be reached is decided at the other end of the socket.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { constants } from "node:os";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;
const NOT_FOUND = 127;
const SIGNAL_BASE = 128;
const HOST = "127.0.0.1";

async function main([socketPath = "", program = "", ...rest]: readonly string[]): Promise<number> {
  const forwarder = createServer((socket) => {
    const upstream = connect(socketPath);
    socket.on("error", () => upstream.destroy());
    upstream.on("error", () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  });
  forwarder.listen(0, HOST);
  await once(forwarder, "listening");
  const address = forwarder.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const proxy = `http://${HOST}:${port}`;
  const child = spawn("env", [`HTTPS_PROXY=${proxy}`, `https_proxy=${proxy}`, program, ...rest], {
    stdio: "inherit",
  });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    child.once("error", () => resolve(NOT_FOUND));
    child.once("exit", (code, signal) =>
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}

process.exit(await main(process.argv.slice(2)));
