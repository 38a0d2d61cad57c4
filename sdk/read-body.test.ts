/** Bodies as hostile peers send them: however small the parts are, they cost what their bytes cost. */
import { createServer, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterEach, expect, it } from "vitest";
import { readBody } from "./https-request.ts";

/** More than an argument list may have. */
const BYTES = 150_000;
const servers: { close: () => void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A request whose body comes one byte at a time, each in a chunk of its own. */
async function bytewise(count: number): Promise<IncomingMessage> {
  const { promise, resolve } = Promise.withResolvers<IncomingMessage>();
  const server = createServer((request, response) => {
    resolve(request);
    request.once("close", () => response.end());
  });
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const socket = connect(port, "127.0.0.1");
  servers.push({ close: () => socket.destroy() });
  socket.write("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  socket.write(`${"1\r\nx\r\n".repeat(count)}0\r\n\r\n`);
  return promise;
}

it("is read whole although each byte comes alone", async () => {
  const body = await readBody(await bytewise(BYTES), { maxBytes: BYTES, timeoutMs: 30_000 });
  expect(Buffer.from(body).equals(Buffer.alloc(BYTES, "x"))).toBe(true);
});

it("is refused at the first byte too many", async () => {
  const reading = readBody(await bytewise(101), { maxBytes: 100, timeoutMs: 30_000 });
  await expect(reading).rejects.toMatchObject({ code: "request_too_large" });
});
