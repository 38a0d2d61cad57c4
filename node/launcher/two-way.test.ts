/** Two connections as one, over real sockets. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hangUp, joinSockets } from "./two-way.ts";

let server: Server;
const sockets: Socket[] = [];

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

/** A client and the server's end of its connection. */
async function pair(): Promise<readonly [Socket, Socket]> {
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  client.on("error", () => client.destroy());
  const [accepted]: Socket[] = await once(server, "connection");
  if (accepted === undefined) throw new Error("a connection has two ends");
  sockets.push(client, accepted);
  return [client, accepted];
}

async function readAll(socket: Socket): Promise<number> {
  let bytes = 0;
  for await (const part of socket) bytes += Buffer.from(part).length;
  return bytes;
}

test("what one side sent before it ended arrives whole, however slowly the other reads", async () => {
  const [left, near] = await pair();
  const [right, far] = await pair();
  const over = joinSockets(near, far);
  const size = 8_000_000;
  right.end(Buffer.alloc(size, 1));
  right.resume();
  left.end("bye");
  expect(await readAll(left)).toBe(size);
  await over;
  expect([near.destroyed, far.destroyed]).toEqual([true, true]);
});

test("one side that breaks off takes the other along, also when it was gone before", async () => {
  const [left, near] = await pair();
  const [, far] = await pair();
  const over = joinSockets(near, far);
  left.resetAndDestroy();
  await over;
  expect(far.destroyed).toBe(true);
  const [, late] = await pair();
  await joinSockets(near, late);
  expect(late.destroyed).toBe(true);
});

test("who was hung up on is gone, though it keeps its own end open", async () => {
  const [client, accepted] = await pair();
  hangUp(accepted, "no");
  const [said] = await once(client, "data");
  expect(String(said)).toBe("no");
  if (!accepted.closed) await once(accepted, "close");
});
