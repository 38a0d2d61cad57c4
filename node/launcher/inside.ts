#!/usr/bin/env node
/**
 * The first process inside a sandbox: listens on the namespace's own loopback, carries every connection to the launcher's
 * socket, and runs the command with `HTTPS_PROXY` set to itself.
 *
 * Arguments: `<socket of the way out> <socket of the gateway's proxy, or -> <variables> <command> [arguments]`, where the
 * variables are JSON of paths below that proxy by name. Ends as the command ends. It has no authority of its own:
 * what may be reached is decided at the other end of the socket.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { constants } from "node:os";
import { joinSockets } from "./two-way.ts";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;
const NOT_FOUND = 127;
const SIGNAL_BASE = 128;
const HOST = "127.0.0.1";

async function main(given: readonly string[]): Promise<number> {
  const [wayOut = "", gateway = "-", variables = "{}", program = "", ...rest] = given;
  const proxy = await forwardTo(wayOut);
  const assignments = [`HTTPS_PROXY=${proxy}`, `https_proxy=${proxy}`];
  if (gateway !== "-") {
    const base = await forwardTo(gateway);
    const paths: unknown = JSON.parse(variables);
    for (const [name, path] of Object.entries(Object(paths)))
      assignments.push(`${name}=${base}${String(path)}`);
    // What is on this machine is not reached through a proxy.
    assignments.push(`NO_PROXY=${HOST}`, `no_proxy=${HOST}`);
  }
  let told: ChildProcess | undefined;
  // Before there is anybody to tell: whoever hears the command's first word may answer with a signal.
  for (const signal of FORWARDED) process.on(signal, () => told?.kill(signal));
  const child = spawn("env", [...assignments, program, ...rest], { stdio: "inherit" });
  told = child;
  return new Promise((resolve) => {
    child.once("error", () => resolve(NOT_FOUND));
    child.once("exit", (code, signal) =>
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}

/** Carries connections to a port of loopback to a socket. @returns the port's URL. */
async function forwardTo(socketPath: string): Promise<string> {
  const forwarder = createServer((socket) => {
    void joinSockets(socket, connect(socketPath));
  });
  forwarder.listen(0, HOST);
  await once(forwarder, "listening");
  const address = forwarder.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return `http://${HOST}:${port}`;
}

process.exit(await main(process.argv.slice(2)));
