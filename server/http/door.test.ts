/** What a request holds, and until when. */
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
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
