/** D9: resumed sessions. */
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import type { TestInstance } from "../../test/support/actors.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, statusOfRaw, UNPROVEN } from "../support/client.ts";
import { visit } from "../support/visits.ts";

const LIFE_SECONDS = 3;
/** How long a server may take to offer a session. */
const OFFER_MS = 300;
const TRIES = 3;

function optionsOf(url: string, { tls }: TestInstance, session?: Buffer): ConnectionOptions {
  const { hostname, port } = new URL(url);
  const resumed = session === undefined ? {} : { session };
  return { host: hostname, port: Number(port), rejectUnauthorized: false, ...tls, ...resumed };
}

/** A session that the server offered for resumption, if it did. */
async function takeSession(url: string, agent: TestInstance): Promise<Buffer | undefined> {
  const socket = connect(optionsOf(url, agent));
  let session: Buffer | undefined;
  socket.on("session", (offered: Buffer) => {
    session = offered;
  });
  await once(socket, "secureConnect");
  await setTimeout(OFFER_MS);
  session ??= socket.getSession();
  socket.destroy();
  return session;
}

async function ask(socket: TLSSocket, target: string): Promise<number> {
  socket.write(`GET ${target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`);
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(Buffer.from(part));
  return statusOfRaw(Buffer.concat(parts).toString("latin1"));
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D9",
  title: "resumes its TLS session, while its certificate is good and after it has expired",
  expected: "no handshake is ever resumed, and the expired are refused",
  weakening: "sessions-resumed",
  world: {},
  mayChange: ["liveInstances", "registry"],
  prepare: async (world) => {
    const { url: finance } = await world.finance();
    return {
      finance,
      lasting: await world.enrol(["read:transactions"]),
      dying: await world.enrol(["read:transactions"], { ttlSeconds: LIFE_SECONDS }),
    };
  },
  control: async (world, { lasting }) => {
    expectSame(
      (await visit(world, { agent: lasting })).status,
      200,
      "a fresh handshake with a good certificate",
    );
  },
  attack: async (world, { finance, lasting, dying }) => {
    const urls = [world.server.url, world.server.stopUrl, finance];
    const early = await Promise.all(
      urls.map(async (url) => ({ url, session: await takeSession(url, dying) })),
    );
    for (const url of urls) {
      for (let time = 0; time < TRIES; time += 1) {
        const session = await takeSession(url, lasting);
        const socket = connect(optionsOf(url, lasting, session));
        await once(socket, "secureConnect");
        const isReused = socket.isSessionReused();
        await ask(socket, "/healthz");
        expect(
          !isReused,
          `the handshake with ${url === finance ? "the service" : "the server"} is a full one`,
        );
      }
    }
    await setTimeout(LIFE_SECONDS * 1000);
    for (const { url, session } of early) {
      const socket = connect(optionsOf(url, dying, session));
      await once(socket, "secureConnect");
      expect(!socket.isSessionReused(), "the session of an expired certificate is not resumed");
      const status = await ask(socket, url === finance ? "/transactions" : "/v1/lease");
      expect(status === UNPROVEN.status || status === 404, `the expired are refused, and not ${status}`);
    }
    const events = await call(world.server.url, { target: "/v1/events" }, { tls: dying.tls });
    expectSame(events.status, UNPROVEN.status, "the expired at a guarded route");
  },
  evidence: async (ledger, { dying }) => {
    await ledger.expect({ kind: "action", principal: dying.answer.spiffe_id }, 0);
  },
});
