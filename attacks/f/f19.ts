/** F19: a server that nobody registered, asked by every way that leads out. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { setTimeout } from "node:timers/promises";
import type { TestInstance } from "../../test/support/actors.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { openTunnel } from "../support/tunnel.ts";

const SETTLE_MS = 300;

interface Scene {
  readonly agent: TestInstance;
  /** The operator named it. */
  readonly known: Listening;
  /** Nobody did. */
  readonly stranger: Listening;
}

/** A TCP server that counts who came. */
interface Listening {
  readonly place: string;
  readonly visits: () => number;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F19",
  title:
    "talks to a server that is registered nowhere: by a tunnel, by another port, by an address of the machine's link",
  expected: "refused before anything is dialled, and the place is in the record",
  weakening: "every-place-is-named",
  world: WITH_GATEWAY,
  prepare: async (world): Promise<Scene> => {
    const [known, stranger] = [await listen(), await listen()];
    const settings = { places: [known.place, "169.254.169.254:80"] };
    await operate(world, "/v1/upstreams", {
      name: "egress",
      kind: "egress",
      url: "egress:",
      allow_private: true,
      settings,
    });
    return { agent: await world.enrol(["connect:net:**"]), known, stranger };
  },
  control: async (world, { agent, known }) => {
    expectSame(await openTunnel(world, agent, known.place), 200, "a tunnel to the named place");
    // The gateway hears of the connection before the place does.
    await setTimeout(SETTLE_MS);
    expectSame(known.visits(), 1, "visits of the named place");
  },
  attack: async (world, { agent, stranger }) => {
    expectSame(await openTunnel(world, agent, stranger.place), 404, "a tunnel to the stranger");
    await setTimeout(SETTLE_MS);
    expectSame(stranger.visits(), 0, "visits of the stranger");
    expectSame(await openTunnel(world, agent, "169.254.169.254:80"), 502, "the metadata service of a cloud");
    expectSame(await openTunnel(world, agent, `${stranger.place}.`), 400, "a second spelling");
  },
  evidence: async (ledger, { agent, stranger }) => {
    const principal = agent.answer.spiffe_id;
    const [alarm] = await ledger.expect({ kind: "refuse", reason: "route_unknown", principal }, 1);
    const payloads = await ledger.payloads(alarm?.event_id ?? "");
    expectSame(JSON.stringify(payloads).includes(stranger.place), true, "the record names the place");
  },
});

async function listen(): Promise<Listening> {
  let visits = 0;
  const server: Server = createServer((socket) => {
    visits += 1;
    socket.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  const { port } = Object(server.address()) as AddressInfo; // the one cast: a TCP server's address
  return { place: `127.0.0.1:${port}`, visits: () => visits };
}
