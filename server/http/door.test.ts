/** What a request holds, and until when. */
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { expect, it, onTestFinished } from "vitest";
import { Pace } from "../intake/pace.ts";
import { placeOf, RequestPlaces } from "../intake/request-places.ts";
import { createFigures } from "../metrics/figures.ts";
import { createDoor } from "./door.ts";

it("a request whose caller has gone away holds its place until its work is over", async () => {
  const requests = new RequestPlaces(new Pace({ most: 64, delayMs: 1000, monoMs: () => 0 }), () => undefined);
  const begun = Promise.withResolvers<void>();
  const work = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const services = {
    clock: { monoMs: () => 0 },
    intake: { requests },
    meter: { figures: createFigures([]) },
  };
  const server = createServer(
    createDoor(
      services,
      [],
    )(async (request, response) => {
      response.once("close", gone.resolve);
      const place = placeOf(request);
      place.take();
      begun.resolve();
      await work.promise;
      place.leave();
      left.resolve();
    }),
  );
  onTestFinished(() => {
    requests.close();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  const socket = connect(address.port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  await begun.promise;
  socket.destroy();
  await gone.promise;
  expect(requests.held).toBe(1);
  work.resolve();
  await left.promise;
  expect(requests.held).toBe(0);
});

it("a connection that sends more while its refusal waits is cut, so that none has many wait", async () => {
  let refused = 0;
  const services = {
    clock: { monoMs: () => performance.now() },
    intake: {
      requests: {
        knock: () => {
          refused += 1;
          throw new TrustWardenError("overloaded");
        },
        ownerOf: () => "own_1",
      },
    },
    meter: { figures: createFigures([]) },
  };
  const server = createServer(createDoor(services, [])(() => undefined));
  onTestFinished(() => void server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  const flood = connect(address.port, "127.0.0.1");
  const patient = connect(address.port, "127.0.0.1");
  let answers = "";
  flood.on("data", (bytes) => {
    answers += String(bytes);
  });
  flood.on("error", () => undefined);
  flood.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000));
  await once(flood, "close");
  expect(answers.split("HTTP/1.1 429").length - 1).toBeLessThanOrEqual(16);
  expect(refused).toBeGreaterThan(16);
  patient.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const [answer] = await once(patient, "data");
  expect(String(answer)).toContain("HTTP/1.1 429");
  patient.destroy();
});

it("owners have their refusals in turns: who is refused once does not wait behind all that a flood is refused", async () => {
  const owners = new WeakMap<Socket, string>();
  const refuse = () => {
    throw new TrustWardenError("overloaded");
  };
  const services = {
    clock: { monoMs: () => performance.now() },
    intake: { requests: { knock: refuse, ownerOf: (socket: Socket) => owners.get(socket) ?? "own_flood" } },
    meter: { figures: createFigures([]) },
  };
  const server = createServer(createDoor(services, [])(() => undefined));
  onTestFinished(() => void server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  const ask = (): { readonly socket: Socket; readonly answered: Promise<unknown> } => {
    const socket = connect(address.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    return { socket, answered: once(socket, "data") };
  };
  let answered = 0;
  for (let asked = 0; asked < 120; asked += 1) void ask().answered.then(() => (answered += 1));
  const modest = connect(address.port, "127.0.0.1");
  onTestFinished(() => void modest.destroy());
  const [accepted] = await new Promise<Socket[]>((resolve) => {
    server.on("connection", (socket: Socket) => {
      if (socket.remotePort === modest.localPort) resolve([socket]);
    });
  });
  if (accepted !== undefined) owners.set(accepted, "own_modest");
  modest.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(modest, "data");
  expect(answered).toBeLessThan(16 + 48 + 48);
});
