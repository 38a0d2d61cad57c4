/**
 * `./dev bench connects`: 100,000 connections to a node's Workload API, and what they leave behind: descriptors, memory.
 *
 *   node bench/connects.ts [--count 100000] [--parallel 64] [--seconds 900]
 *
 * The node runs in `warden up`, a process of its own. Every tenth connection asks for its X.509-SVIDs, is attested, and is
 * told that no entry matches; the others come and go. Descriptors are counted by the kernel, in `/proc/<pid>/fd`. Exits
 * with 1 when there are more than before.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { describeMachine } from "./machine.ts";
import { end } from "./warden.ts";

const WARDEN = join(import.meta.dirname, "..", "cli", "main.ts");
const ASKING = 10;
/** Timers of the library and the last closes settle in this time. */
const SETTLE_MS = 5000;
const FETCH = {
  ":method": "POST",
  ":path": "/SpiffeWorkloadAPI/FetchX509SVID",
  "content-type": "application/grpc",
  te: "trailers",
  "workload.spiffe.io": "true",
};
const PERMISSION_DENIED = "7";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    parallel: { type: "string", default: "64" },
    seconds: { type: "string", default: "900" },
  },
});
const count = Number(values.count);
const directory = mkdtempSync(join(tmpdir(), "trustwarden-connects-"));
const places = ["--data", join(directory, "data"), "--config-dir", join(directory, "config")];
const listen = ["--trust-domain", "bench.test", "--port", "0", "--stop-port", "0", "--log-level", "error"];
const node = spawn(process.execPath, [WARDEN, "up", ...listen, ...places], {
  stdio: ["ignore", "pipe", "inherit"],
});
try {
  const [line]: unknown[] = await once(createInterface({ input: node.stdout }), "line");
  const socketPath = String(Object(JSON.parse(String(line))).agent_socket);
  await run(socketPath, Math.min(count, 1000), Number(values.parallel));
  await setTimeout(SETTLE_MS);
  const before = weigh();
  const startedAt = performance.now();
  const made = await run(socketPath, count, Number(values.parallel));
  const seconds = (performance.now() - startedAt) / 1000;
  await setTimeout(SETTLE_MS);
  const after = weigh();
  console.log(
    JSON.stringify(
      {
        ...made,
        seconds: Math.round(seconds),
        per_second: Math.round(made.connects / seconds),
        before,
        after,
        machine: describeMachine(),
      },
      null,
      2,
    ),
  );
  process.exitCode = made.connects === count && after.descriptors <= before.descriptors ? 0 : 1;
} finally {
  await end(node);
  rmSync(directory, { recursive: true, force: true });
}

/** What the node's process holds now. */
function weigh(): { readonly descriptors: number; readonly resident_mib: number } {
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))?.[1];
  return {
    descriptors: readdirSync(`/proc/${node.pid}/fd`).length,
    resident_mib: Math.round(Number(resident) / 1024),
  };
}

async function run(socketPath: string, connects: number, parallel: number) {
  const deadline = performance.now() + Number(values.seconds) * 1000;
  let next = 0;
  const refused = { asked: 0, failed: 0 };
  const work = async (): Promise<void> => {
    while (next < connects && performance.now() < deadline) {
      next += 1;
      if (next % ASKING !== 0) await touch(socketPath);
      else if ((await ask(socketPath)) === PERMISSION_DENIED) refused.asked += 1;
      else refused.failed += 1;
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return { connects: next, asked: refused.asked, failed: refused.failed };
}

/** Connects and goes, once the other end has taken the connection: its first bytes are here. */
async function touch(socketPath: string): Promise<void> {
  const socket = connectSocket(socketPath);
  socket.on("error", () => {});
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0");
  await Promise.race([once(socket, "data"), once(socket, "close")]);
  socket.destroy();
}

/** Asks for SVIDs. @returns the gRPC status. */
async function ask(socketPath: string): Promise<string> {
  const session = connect("http://localhost", { createConnection: () => connectSocket(socketPath) });
  const { promise, resolve } = Promise.withResolvers<string>();
  session.on("error", () => resolve("broken"));
  const call = session.request(FETCH);
  call.on("response", (headers) => resolve(String(headers["grpc-status"])));
  call.on("error", () => resolve("broken"));
  call.end(Buffer.alloc(5));
  const status = await promise;
  session.destroy();
  return status;
}
