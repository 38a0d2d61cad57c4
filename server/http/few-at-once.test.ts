/** How many requests of one connection are begun before it is answered. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { takeFewAtOnce } from "./few-at-once.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

async function open(answer: (response: ServerResponse) => void) {
  let begun = 0;
  const server = createServer(
    takeFewAtOnce((_request, response) => {
      begun += 1;
      answer(response);
    }),
  );
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  const socket = connect(address.port, "127.0.0.1");
  socket.on("error", () => undefined);
  return { begun: () => begun, socket };
}

/** As many answers as came by now. */
function count(socket: Socket): () => number {
  let text = "";
  socket.on("data", (bytes) => {
    text += String(bytes);
  });
  return () => text.split("HTTP/1.1 200").length - 1;
}

it("eight are, and the one that is too many ends the connection with all that came with it", async () => {
  const { begun, socket } = await open(() => undefined);
  socket.write(REQUEST.repeat(8));
  await expect.poll(begun).toBe(8);
  expect(socket.closed).toBe(false);
  socket.resume();
  socket.write(REQUEST.repeat(500));
  await once(socket, "close");
  expect(begun()).toBe(8);
});

it("as many as it likes may follow one another on a connection", async () => {
  const { begun, socket } = await open((response) => void response.end());
  const answers = count(socket);
  for (let sent = 1; sent <= 40; sent += 1) {
    socket.write(REQUEST);
    await expect.poll(answers, { interval: 1 }).toBe(sent);
  }
  expect(begun()).toBe(40);
  expect(socket.closed).toBe(false);
});
