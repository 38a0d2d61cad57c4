/** For tests: processes of other accounts that connect to a socket, and live as long as the test wants. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { openKernel } from "./kernel.ts";
import { type PeerProcess, readPeerProcess } from "./peer-process.ts";

/** Everybody's account for having none. */
export const NOBODY = 65_534;
/** Other accounts can only be tried by root; a test that needs them says so when it is left out. */
export const isRoot = process.getuid?.() === 0;

/** A program of Node that runs as another account. Its standard output is the test's way to hear of it. */
export function spawnAs(
  uid: number,
  script: string,
  {
    gid = uid,
    args = [],
    program = process.execPath,
  }: { readonly gid?: number; readonly args?: readonly string[]; readonly program?: string } = {},
): ChildProcess {
  const account = isRoot ? { uid, gid } : {};
  return spawn(program, ["-e", script, ...args], {
    ...account,
    stdio: ["ignore", "pipe", "inherit"],
    cwd: "/",
  });
}

/** Starts programs that idle until one has the number; the kernel's counter is set back before each. Needs root. */
export async function spawnWithPid(
  pid: number,
  {
    program,
    args,
    uid,
  }: { readonly program: string; readonly args: readonly string[]; readonly uid: number },
): Promise<ChildProcess> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    writeFileSync("/proc/sys/kernel/ns_last_pid", String(pid - 1));
    const child = spawn(program, args, { uid, gid: uid, stdio: "ignore", cwd: "/" });
    if (child.pid === pid) return child;
    await end(child);
  }
  throw new Error("the number was not given again");
}

/** Ends a child for good and waits until it was collected. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** A bare socket that notes the process of each connection before it reads anything. */
export interface PeerListener {
  readonly peers: PeerProcess[];
  readonly next: () => Promise<PeerProcess>;
  readonly close: () => Promise<void>;
}

export async function listenForPeers(socketPath: string): Promise<PeerListener> {
  const kernel = await openKernel();
  const peers: PeerProcess[] = [];
  const sockets = new Set<Socket>();
  const waiting: ((peer: PeerProcess) => void)[] = [];
  const server: Server = createServer((socket) => {
    const handle = Object(Object(socket)._handle);
    const peer = readPeerProcess(kernel, Number(handle.fd));
    sockets.add(socket);
    socket.on("error", () => {});
    peers.push(peer);
    waiting.shift()?.(peer);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    peers,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    close: async () => {
      for (const peer of peers) peer.close();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A script that connects to the socket of its first argument and then waits. */
export const CONNECT_AND_WAIT = `require("net").connect(process.argv[1]);setInterval(()=>{},1000)`;
