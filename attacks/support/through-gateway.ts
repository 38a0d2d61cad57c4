/** Calls through the gateway of a world, signed as what they say they are. */
import { signedRequest, type TestInstance } from "../../test/support/actors.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { call } from "./client.ts";
import type { World } from "./world.ts";

/** The gateway's origin. */
export function gatewayOf({ server }: World): string {
  if (server.gatewayUrl === null) throw new Error("the server has a gateway");
  return server.gatewayUrl;
}

/** One call of an agent over its own mutual TLS. */
export function callGateway(
  world: World,
  agent: TestInstance,
  request: Parameters<typeof signedRequest>[1],
): Promise<RawAnswer> {
  return call(gatewayOf(world), signedRequest(agent, request), { tls: agent.tls });
}
