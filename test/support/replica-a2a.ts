/** Another's agent (A2A) behind the gateways of servers that share a store, asked in raw JSON-RPC by either of them. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { planCall } from "@trustwarden/core/gateway/plan.ts";
import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { messageOf } from "./a2a-agent.ts";
import { serverIdOf, signedRequest, type TestInstance } from "./actors.ts";
import { jsonOf, type RawAnswer } from "./http.ts";
import { sendCall } from "./replica-gateway.ts";
import type { TestServer } from "./server.ts";

/** What an agent needs for it. */
export const A2A_SCOPE = ["read:a2a", "send:a2a"];

/** Says one thing to the agent that is registered as `echo`. @param place.port - of the gateway that is asked. */
export async function sayTo(
  { server, port, url }: { readonly server: TestServer; readonly port: number; readonly url: string },
  agent: TestInstance,
  said: { readonly method: string; readonly params: object },
): Promise<RawAnswer> {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, ...said });
  const request = { method: "POST", target: parseRequestTarget("/a2a"), headers: {}, body: encodeUtf8(body) };
  const upstream = { name: parseUpstreamName("echo"), kind: "a2a", resource: url, settings: {} } as const;
  const { action, resource } = planCall(upstream, request);
  const signed = signedRequest(agent, {
    method: "POST",
    target: "/echo/a2a",
    body,
    headers: { "content-type": "application/json", "a2a-version": "1.0" },
    aud: await serverIdOf(server),
    action,
    intent: { action, resource },
  });
  return sendCall(port, signed, agent);
}

/** A message after which the agent's task is open. */
export const WAIT = { method: "SendMessage", params: { message: messageOf("wait") } };

/** The id that the gateway gave to the task of an answer. */
export function taskOf(answer: RawAnswer): string {
  const { id } = Object(Object(jsonOf(answer).result).task);
  if (typeof id !== "string") throw new Error(`no task: ${answer.text}`);
  return id;
}

/** A question about it. */
export function askAfter(id: string): { readonly method: string; readonly params: object } {
  return { method: "GetTask", params: { id } };
}
