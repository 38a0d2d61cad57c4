/** Calls of the routes about streams of security events: each with the one event that it must leave. */
import type { TestInstance } from "../../test/support/actors.ts";
import { jsonOf, type RawRequest } from "../../test/support/http.ts";
import { call } from "./client.ts";
import type { Attempt } from "./registry-attempts.ts";
import type { World } from "./world.ts";

/** A stream as it comes, changes and goes. */
export async function streamAttempts(world: World, receiver: TestInstance): Promise<readonly Attempt[]> {
  const ask = (method: string, target: string, body?: object) => () => {
    const request: RawRequest = {
      method,
      target,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    return call(world.server.url, request, { tls: receiver.tls });
  };
  const stream = "/ssf/stream";
  const made = await ask("POST", stream, {})();
  const named = { stream_id: String(jsonOf(made).stream_id) };
  const unknown = { stream_id: "str_none" };
  const about = { ...named, subject: { format: "opaque", id: "agt_none" } };
  const poll = `/ssf/streams/${named.stream_id}/poll`;
  const push = { delivery: { method: "urn:ietf:rfc:8935", endpoint_url: "https://127.0.0.1/x" } };
  const changed = { kind: "admin" } as const;
  const [added, removed] = ["/ssf/subjects/added", "/ssf/subjects/removed"];
  const verification = "/ssf/verification";
  return [
    { ...changed, route: stream, what: "a stream", status: 201, ask: ask("POST", stream, {}) },
    { route: stream, what: "a stream by push", status: 400, kind: "refuse", ask: ask("POST", stream, push) },
    { ...changed, route: stream, what: "a change", status: 200, ask: ask("PATCH", stream, named) },
    { ...changed, route: stream, what: "a replacement", status: 200, ask: ask("PUT", stream, named) },
    { route: stream, what: "nobody's stream", status: 404, kind: "refuse", ask: ask("PUT", stream, unknown) },
    {
      ...changed,
      route: "/ssf/status",
      what: "a pause",
      status: 200,
      ask: ask("POST", "/ssf/status", { ...named, status: "paused" }),
    },
    { ...changed, route: removed, what: "a subject less", status: 204, ask: ask("POST", removed, about) },
    { ...changed, route: added, what: "a subject more", status: 200, ask: ask("POST", added, about) },
    {
      route: verification,
      what: "a question",
      status: 204,
      kind: "read",
      ask: ask("POST", verification, named),
    },
    {
      route: "/ssf/streams/{stream_id}/poll",
      what: "a poll",
      status: 200,
      kind: "read",
      ask: ask("POST", poll, { returnImmediately: true }),
    },
    {
      ...changed,
      route: stream,
      what: "an end",
      status: 204,
      ask: ask("DELETE", `${stream}?stream_id=${named.stream_id}`),
    },
  ];
}
