/** A tunnel through the gateway of a world, asked for as an agent's client does. */
import { Agent, request } from "node:https";
import { signedRequest, type TestInstance } from "../../test/support/actors.ts";
import type { World } from "./world.ts";

/** @returns the status that the gateway answered with; the tunnel is closed at once. */
export async function openTunnel(world: World, agent: TestInstance, place: string): Promise<number> {
  const aud = await world.serverId();
  const action = `connect:net:${place.replace(":", "/")}`;
  const intent = { action, resource: `tcp://${place}` };
  const { headers } = signedRequest(agent, { method: "CONNECT", target: place, aud, action, intent });
  const { hostname, port } = new URL(world.server.gatewayUrl ?? "");
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const tls = new Agent({ rejectUnauthorized: false, maxCachedSessions: 0, ...agent.tls });
  const outgoing = request({ host: hostname, port, agent: tls, method: "CONNECT", path: place, headers });
  outgoing.once("connect", ({ statusCode = 0 }, socket) => {
    socket.on("error", () => socket.destroy());
    socket.destroy();
    resolve(statusCode);
  });
  outgoing.once("error", reject);
  outgoing.end();
  return promise;
}
