/** The way out of a sandbox: what it opens, what it refuses, and what it holds. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type LookupFunction, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWayOut, parsePlace, type WayOut } from "./way-out.ts";

const directory = mkdtempSync(join(tmpdir(), "way-out-"));
const service = createServer((socket) => socket.on("error", () => socket.destroy()).write("reached"));
const wayOuts: WayOut[] = [];
let port = 0;

beforeAll(async () => {
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  const address = service.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});

afterAll(async () => {
  for (const wayOut of wayOuts) await wayOut.close();
  service.close();
  rmSync(directory, { recursive: true, force: true });
});

async function open(host: string, answers: readonly string[] = []): Promise<string> {
  const lookup: LookupFunction = (_name, _options, done) =>
    done(
      null,
      answers.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  const socketPath = join(directory, `${wayOuts.length}.sock`);
  const wayOut = await openWayOut({ socketPath, allowed: [parsePlace(`${host}:${port}`)], lookup });
  wayOuts.push(wayOut);
  return socketPath;
}

async function ask(socketPath: string, target: string): Promise<string> {
  const socket = connect(socketPath);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const [chunk] = await once(socket, "data");
  socket.destroy();
  return String(chunk).split("\r\n", 1)[0] ?? "";
}

describe("a tunnel", () => {
  test("is opened to the place that was named, in any case, and to no other", async () => {
    const socketPath = await open("127.0.0.1");
    expect(await ask(socketPath, `127.0.0.1:${port}`)).toContain("200");
    for (const other of [
      `127.0.0.1:${port + 1}`,
      `localhost:${port}`,
      `127.1:${port}`,
      `[::ffff:7f00:1]:${port}`,
    ])
      expect(await ask(socketPath, other)).toContain("403");
  });

  test("is not opened by a name that leads to this machine or its neighbours", async () => {
    for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "fe80::1"])
      expect(await ask(await open("rebound.test", [address]), `rebound.test:${port}`)).toContain("502");
    // An operator who says so means this machine.
    expect(await ask(await open("localhost", ["127.0.0.1"]), `LocalHost:${port}`)).toContain("200");
  });
});

test("connections are bounded, so that nobody inside takes the launcher's descriptors", async () => {
  const socketPath = await open("127.0.0.1");
  const sockets: Socket[] = Array.from({ length: 300 }, () => connect(socketPath));
  let closed = 0;
  for (const socket of sockets) socket.on("error", () => socket.destroy()).once("close", () => (closed += 1));
  await expect.poll(() => closed, { timeout: 20_000 }).toBe(300 - 256);
  for (const socket of sockets) socket.destroy();
});

test("who is refused holds no place, though it never closes its own end", async () => {
  const socketPath = await open("127.0.0.1");
  const sockets = Array.from({ length: 300 }, () => connect({ path: socketPath, allowHalfOpen: true }));
  for (const [index, socket] of sockets.entries()) {
    socket.on("error", () => socket.destroy());
    socket.write("CONNECT elsewhere.test:1 HTTP/1.1\r\nHost: x\r\n\r\n");
    // One after the other, since the places are bounded for those who are being refused as well.
    if (index % 50 === 49) await once(socket, "data");
  }
  await expect.poll(() => ask(socketPath, `127.0.0.1:${port}`), { timeout: 10_000 }).toContain("200");
  for (const socket of sockets) socket.destroy();
});
