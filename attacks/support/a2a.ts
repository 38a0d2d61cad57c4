/** An agent of another's behind the gateway of a world, and agents of ours that call it. */

import { type RunningAgent, startEchoAgent } from "../../test/support/a2a-agent.ts";
import type { TestInstance } from "../../test/support/actors.ts";
import { type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { pinAll } from "../../test/support/mcp.ts";
import { callGateway } from "./through-gateway.ts";
import type { World } from "./world.ts";

/** The configuration of a server with a gateway. */
export const A2A_WORLD = { configure: () => ({ gateway: { port: 0 } }) };

/** Registers an agent that says back what it is told, and approves its card as it is now. */
export async function openAgent(world: World): Promise<RunningAgent & { readonly upstream: string }> {
  const agent = await startEchoAgent();
  const upstream = world.name("agent");
  const settings = { recheck_seconds: 0 };
  const body = JSON.stringify({ name: upstream, kind: "a2a", url: agent.url, allow_private: true, settings });
  const target = "/v1/upstreams";
  const registered = await sendAdmin(world.server.adminSocket, { method: "POST", target, body });
  if (registered.status !== 200) throw new Error(`upstream: ${registered.text}`);
  await pinAll(world.server, upstream);
  return { ...agent, upstream };
}

/** One message, signed as what it is. */
export async function say(
  world: World,
  agent: TestInstance,
  asked: {
    readonly upstream: string;
    readonly method: string;
    readonly params: object;
    /** Such as `send:a2a` and `messages`. */
    readonly as: readonly [verb: string, place: string];
  },
): Promise<RawAnswer> {
  const { upstream, method, params, as } = asked;
  const [verb, place] = as;
  const [action, resource] = [`${verb}:a2a:${upstream}/${place}`, `a2a://${upstream}/${place}`];
  const target = `/${upstream}/a2a`;
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const aud = await world.serverId();
  const headers = { "content-type": "application/json", "a2a-version": "1.0" };
  const intent = { action, resource };
  return callGateway(world, agent, { method: "POST", target, body, aud, action, intent, headers });
}

/** Parameters of a message. */
export function saying(text: string, more: object = {}): object {
  return { message: { messageId: "m", role: "ROLE_USER", parts: [{ text }] }, ...more };
}

/** Id of the task that an answer tells of. */
export function taskIdOf({ text }: RawAnswer): string {
  const { result } = JSON.parse(text);
  return String(result?.task?.id);
}

/** The code of ours in a refusal. */
export function a2aCodeOf({ text }: RawAnswer): unknown {
  try {
    return JSON.parse(text).error?.data?.code;
  } catch {
    return undefined;
  }
}
