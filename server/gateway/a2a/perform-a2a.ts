/**
 * Does one allowed call to another agent: what was decided goes out under an id of our own, with the tasks that this agent
 * was given; what comes back are answers to this call, with its tasks sealed to this agent.
 *
 * The way there is the one of MCP over HTTP without its sessions: messages of JSON-RPC, one by one or as a stream.
 */
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type HandleOwner, openParams, sealResult } from "@trustwarden/core/gateway/a2a/handles.ts";
import { isStreamed } from "@trustwarden/core/gateway/a2a/methods.ts";
import { parseA2aSettings } from "@trustwarden/core/gateway/a2a/settings.ts";
import {
  encodeRpcMessage,
  parseRpcMessage,
  type RpcId,
  type RpcMessage,
} from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { encodeSseEvent, SseReader } from "@trustwarden/core/gateway/mcp/sse.ts";
import { type A2aCall, parseA2aCall } from "@trustwarden/core/gateway/plan-a2a.ts";
import { HeldEvents } from "../held-events.ts";
import type { AllowedCall, Performer, UpstreamAnswer } from "../ports.ts";
import { TextLeaves } from "../text-leaves.ts";
import { readWhole } from "../whole-answer.ts";
import { type CardParts, formatCard, requireCard } from "./card.ts";

/** Larger answers are no message between agents. */
const MAX_ANSWER_BYTES = 8_388_608;
/** The versions of the protocol that are passed on; a client that names none speaks the oldest. */
const VERSIONS: readonly string[] = ["1.0", "0.3"];
const OLDEST_VERSION = "0.3";

/** What performing needs of the server. */
export interface A2aParts extends CardParts {
  /** Seals the tasks of agents to them; made at the start, so that a restart forgets every task. */
  readonly handleKey: Uint8Array;
  /** Of the gateway. */
  readonly url: () => string | null;
}

/** One call on its way. */
interface A2aVisit {
  readonly call: AllowedCall;
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
      return answer(call, encodeUtf8(JSON.stringify(formatCard(card, url))));
    }
    const owner = { upstream: name, agentId: caller.agent.agentId, key: parts.handleKey };
    const visit = { call, owner, clientId: parsed.message.id, ownId: caller.intent.intent.event_id };
    await pass(visit, parsed, settings.endpoint);
  };
}

async function pass(
  visit: A2aVisit,
  { message, subject }: Extract<A2aCall, { readonly message: object }>,
  endpoint: string,
): Promise<void> {
  const { call, owner, ownId } = visit;
  const sent: RpcMessage = { ...message, id: ownId, params: openParams(message.params, owner) };
  const answered = await call.client.request({
    method: "POST",
    path: endpoint,
    headers: {
      "content-type": "application/json",
      accept: isStreamed(subject) ? "text/event-stream, application/json" : "application/json",
      "a2a-version": versionOf(call),
    },
    body: encodeUtf8(encodeRpcMessage(sent)),
  });
  const contentType = (answered.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  const isStream = answered.status === 200 && contentType === "text/event-stream";
  if (isStream && !isStreamed(subject)) throw refused("a stream");
  await (isStream ? passStream(visit, answered) : passOne(visit, answered));
}

/** @throws TrustWardenError `a2a_malformed`: what it means in another version was not decided. */
function versionOf({ arrival }: AllowedCall): string {
  const version = arrival.request.headers["a2a-version"] ?? OLDEST_VERSION;
  if (!VERSIONS.includes(version)) throw new TrustWardenError("a2a_malformed", { reason: "version" });
  return version;
}

async function passOne(visit: A2aVisit, sent: UpstreamAnswer): Promise<void> {
  const bytes = await readWhole(sent, MAX_ANSWER_BYTES);
  const { status } = sent;
  if (status !== 200) throw new TrustWardenError("upstream_answer_refused", { status });
  const passed = answerOf(parseAnswer(parseUtf8(bytes)), visit);
  await answer(visit.call, encodeUtf8(encodeRpcMessage(passed)));
}

async function passStream(visit: A2aVisit, { body }: UpstreamAnswer): Promise<void> {
  const { call } = visit;
  await call.begin(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const reader = new SseReader();
  const leaves = new TextLeaves();
  const held = new HeldEvents(call.client.watchText(), (event) => leaves.read(event));
  for await (const bytes of body) {
    for (const { data } of reader.push(bytes)) {
      if (data === "") continue;
      const passed = answerOf(parseAnswer(data), visit);
      await held.push(encodeSseEvent({ data: encodeRpcMessage(passed), id: null, retryMs: null }));
    }
    const ready = held.take();
    if (ready.length > 0) await call.write(ready);
  }
  const rest = held.rest();
  if (rest.length > 0) await call.write(rest);
  await call.end();
}

function parseAnswer(text: string): RpcMessage {
  try {
    return parseRpcMessage(text, MAX_ANSWER_BYTES);
  } catch (cause) {
    throw new TrustWardenError("upstream_answer_refused", { reason: "not a message" }, { cause });
  }
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
