/**
 * Does one allowed call to another agent: what was decided goes out under an id of our own, with the tasks that this agent
 * was given; what comes back are answers to this call, with its tasks sealed to this agent.
 *
 * Callers send messages of JSON-RPC, one by one, and get one answer or a stream; what the agent itself speaks is its binding.
 */
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type HandleOwner, openParams, sealResult } from "@trustwarden/core/gateway/a2a/handles.ts";
import { isStreamed } from "@trustwarden/core/gateway/a2a/methods.ts";
import { parseA2aSettings } from "@trustwarden/core/gateway/a2a/settings.ts";
import {
  encodeRpcMessage,
  type RpcId,
  type RpcMessage,
  type RpcRequest,
} from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { encodeSseEvent, SseReader } from "@trustwarden/core/gateway/mcp/sse.ts";
import { type A2aCall, parseA2aCall } from "@trustwarden/core/gateway/plan-a2a.ts";
import { HeldEvents } from "../held-events.ts";
import type { AllowedCall, Performer, UpstreamAnswer } from "../ports.ts";
import { TextLeaves } from "../text-leaves.ts";
import { readWhole } from "../whole-answer.ts";
import { asMessage, BINDINGS, type Binding, MAX_ANSWER_BYTES } from "./bindings.ts";
import { type CardParts, formatCard, requireCard } from "./card.ts";

/** Of a client that names no version of the protocol. */
const OLDEST_VERSION = "0.3";

/** What performing needs of the server. */
export interface A2aParts extends CardParts {
  /** Seals the tasks of agents to them; a server alone makes it at its start, so that a restart forgets every task. */
  readonly handleKey: Uint8Array;
  /** Of the gateway. */
  readonly url: () => string | null;
}

/** One call on its way. */
interface A2aVisit {
  readonly call: AllowedCall;
  readonly binding: Binding;
  readonly owner: HandleOwner;
  /** The client's id of its request, and ours. */
  readonly clientId: RpcId;
  readonly ownId: string;
}

/** @see `Performer` */
export function createA2aPerformer(parts: A2aParts): Performer {
  return async (call) => {
    const { arrival, caller, client } = call;
    const { name, settings: json } = arrival.upstream;
    const parsed = parseA2aCall(arrival.request);
    const settings = parseA2aSettings(json);
    const card = await requireCard(parts, { upstream: name, settings, client });
    if (parsed.message === null) {
      const url = `${parts.url() ?? ""}/${name}/a2a`;
      return answer(call, encodeUtf8(JSON.stringify(formatCard(card, { url, binding: settings.binding }))));
    }
    const owner = { upstream: name, agentId: caller.agent.agentId, key: parts.handleKey };
    const ownId = caller.intent.intent.event_id;
    const binding = BINDINGS[settings.binding];
    const visit = { call, binding, owner, clientId: parsed.message.id, ownId };
    await pass(visit, parsed, settings.endpoint);
  };
}

async function pass(
  visit: A2aVisit,
  { message, subject }: Extract<A2aCall, { readonly message: object }>,
  endpoint: string,
): Promise<void> {
  const { call, binding, owner, ownId } = visit;
  const sent: RpcRequest = { ...message, id: ownId, params: openParams(message.params, owner) };
  const answered = await call.client.request({
    ...binding.requestOf({ subject, message: sent, endpoint }),
    headers: {
      "content-type": "application/json",
      accept: isStreamed(subject) ? `text/event-stream, ${binding.accept}` : binding.accept,
      "a2a-version": versionOf(visit),
    },
  });
  const contentType = (answered.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  const isStream = answered.status === 200 && contentType === "text/event-stream";
  if (isStream && !isStreamed(subject)) throw refused("a stream");
  await (isStream ? passStream(visit, answered) : passOne(visit, answered));
}

/** @throws TrustWardenError `a2a_malformed`: what it means in another version was not decided. */
function versionOf({ call, binding }: A2aVisit): string {
  const version = call.arrival.request.headers["a2a-version"] ?? OLDEST_VERSION;
  if (!binding.versions.includes(version)) throw new TrustWardenError("a2a_malformed", { reason: "version" });
  return version;
}

async function passOne(visit: A2aVisit, sent: UpstreamAnswer): Promise<void> {
  const bytes = await readWhole(sent, MAX_ANSWER_BYTES);
  const text = asMessage(() => parseUtf8(bytes));
  const { status } = sent;
  const { binding, ownId } = visit;
  const said = status === 200 ? binding.readAnswer(text, ownId) : binding.readRefusal(status, text, ownId);
  if (said === undefined) throw new TrustWardenError("upstream_answer_refused", { status });
  const passed = answerOf(said, visit);
  await answer(visit.call, encodeUtf8(encodeRpcMessage(passed)));
}

async function passStream(visit: A2aVisit, { body }: UpstreamAnswer): Promise<void> {
  const { call, binding, ownId } = visit;
  await call.begin(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const reader = new SseReader();
  const leaves = new TextLeaves();
  const held = new HeldEvents(call.client.watchText(), (event) => leaves.read(event));
  for await (const bytes of body) {
    for (const { data } of reader.push(bytes)) {
      if (data === "") continue;
      const passed = answerOf(binding.readAnswer(data, ownId), visit);
      await held.push(encodeSseEvent({ data: encodeRpcMessage(passed), id: null, retryMs: null }));
    }
    const ready = held.take();
    if (ready.length > 0) await call.write(ready);
  }
  const rest = held.rest();
  if (rest.length > 0) await call.write(rest);
  await call.end();
}

/** An answer to this call, and to nothing else. */
function answerOf(message: RpcMessage, { owner, clientId, ownId }: A2aVisit): RpcMessage {
  if (message.kind === "result" && message.id === ownId)
    return { ...message, id: clientId, result: sealResult(message.result, owner) };
  // Another agent's words about an error may name what is not this agent's; its code says enough.
  if (message.kind === "failure" && (message.id === ownId || message.id === null)) {
    const { code } = message.error;
    const error = { code: typeof code === "number" ? code : -32_603, message: "The agent refused." };
    return { kind: "failure", id: clientId, error };
  }
  throw refused("another call's answer");
}

async function answer(call: AllowedCall, body: Uint8Array): Promise<void> {
  await call.begin(200, { "content-type": "application/json", "content-length": String(body.length) });
  await call.write(body);
  await call.end();
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("upstream_answer_refused", { reason });
}
