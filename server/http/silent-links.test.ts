/** Which links give way when a listener is full. */
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { SilentLinks } from "./silent-links.ts";

test("the address with most links that asked nothing loses its older half, and nobody who asked or just came", async () => {
  let nowMs = 0;
  const server = createServer((_request, response) => void response.end("ok"));
  const links = new SilentLinks(server, () => nowMs);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const open = async (localAddress: string): Promise<Socket> => {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    socket.on("error", () => undefined);
    const known = links.size;
    await once(socket, "connect");
    while (links.size === known) await new Promise((resolve) => setImmediate(resolve));
    return socket;
  };
  const many: Socket[] = [];
  for (let count = 0; count < 4; count += 1) many.push(await open("127.0.0.1"));
  const other = await open("127.0.0.2");
  const asked = await open("127.0.0.1");
  asked.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  await once(asked, "data");
  expect(links.size).toBe(5);
  nowMs = 249;
  links.makeRoom();
  expect(links.size).toBe(5);
  nowMs = 250;
  const young = [await open("127.0.0.1"), await open("127.0.0.1")];
  links.makeRoom();
  await Promise.all(many.slice(0, 2).map((socket) => once(socket, "close")));
  const left = [...many.slice(2), other, asked, ...young];
  expect(left.map(({ destroyed }) => destroyed)).toEqual(left.map(() => false));
  for (const socket of left) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});
