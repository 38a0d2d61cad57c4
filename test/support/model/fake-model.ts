/**
 * A model server that is none: OpenAI's and Anthropic's APIs on one port, with answers that follow from the question.
 *
 * Real HTTP and real event streams, strict about what the vendors are strict about (model, version header, limits, key), and
 * obedient to what a prompt asks of it (`prompt.ts`). Also a process of its own: `node test/support/model/serve.ts`.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { answerMessage, describeAnthropicError, describeAnthropicModel } from "./anthropic.ts";
import {
  answerChat,
  answerCompletion,
  answerEmbeddings,
  answerResponse,
  describeModel,
  describeOpenaiError,
  type ModelAnswer,
} from "./openai.ts";
import { countTokens, readWish, type Wish } from "./prompt.ts";

const MAX_BODY_BYTES = 16_777_216;
/** Kept for tests to look at; a bench must not fill the memory. */
const MAX_KEPT = 1000;

/** One request, as it arrived. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface FakeModel {
  /** `http://127.0.0.1:<port>`; both APIs are below it. */
  readonly url: string;
  /** The first thousand. */
  readonly requests: readonly SeenRequest[];
  /** Answers that are being written. */
  readonly open: () => number;
  close(): Promise<void>;
}

export interface FakeModelOptions {
  readonly port?: number;
  readonly models?: readonly string[];
  /** The only key that is accepted; any when absent. */
  readonly apiKey?: string;
}

interface State {
  readonly models: readonly string[];
  readonly apiKey: string | undefined;
  readonly seen: SeenRequest[];
  count: number;
  open: number;
}

const FAKE_MODELS: readonly string[] = [
  "gpt-test",
  "gpt-test-mini",
  "embed-test",
  "claude-test",
  "vendor/model:8b",
];

/** Starts one on loopback. */
export async function startFakeModel(options: FakeModelOptions = {}): Promise<FakeModel> {
  const { port = 0, models = FAKE_MODELS, apiKey } = options;
  const state: State = { models, apiKey, seen: [], count: 0, open: 0 };
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    state.open += 1;
    response.once("close", () => {
      state.open -= 1;
    });
    answer(state, request, response).catch(() => response.destroy());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  // The one cast of this file: a server that listens on a host has an address of this form.
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests: state.seen,
    open: () => state.open,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** One question on its way to an answer. */
interface Question {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly response: ServerResponse;
  readonly isAnthropic: boolean;
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = "GET", url = "/", headers } = request;
  const path = url.split("?")[0] ?? "";
  const text = await readText(request);
  if (state.seen.length < MAX_KEPT) state.seen.push({ method, path: url, headers, body: text });
  state.count += 1;
  const isAnthropic = headers["anthropic-version"] !== undefined || path.startsWith("/v1/messages");
  const question = { path, headers, response, isAnthropic };
  if (!holdsKey(state, headers, isAnthropic)) {
    refuse(question, 401, "Incorrect API key provided.", "invalid_api_key");
  } else if (method === "GET") {
    answerList(state, question);
  } else if (headers["content-type"]?.startsWith("application/json") === true) {
    await answerPrompt(state, question, parseJsonObject(text, MAX_BODY_BYTES));
  } else {
    refuse(question, 400, "Send JSON.");
  }
}

function refuse(
  { response, isAnthropic }: Question,
  status: number,
  message: string,
  code: string | null = null,
): void {
  const body = isAnthropic
    ? describeAnthropicError(status, message)
    : describeOpenaiError(status, message, code);
  sendJson(response, status, body);
}

async function answerPrompt(state: State, question: Question, body: JsonObject): Promise<void> {
  const { model } = body;
  if (typeof model !== "string" || !state.models.includes(model)) {
    refuse(question, 404, `The model ${String(model)} does not exist.`, "model_not_found");
    return;
  }
  const wish = readWish(body.messages ?? body.input ?? body.prompt);
  const asked = { id: String(state.count).padStart(8, "0"), model, body, wish };
  const made = wish.status === undefined ? makeAnswer(question, asked) : undefined;
  if (wish.status !== undefined) refuse(question, wish.status, "As you wish.");
  else if (made === undefined) refuse(question, 400, "The request is not what this path takes.");
  else await send(question, { made, body, wish });
}

function makeAnswer({ path }: Question, asked: Parameters<typeof answerChat>[0]): ModelAnswer | undefined {
  const { body } = asked;
  switch (path) {
    case "/v1/chat/completions":
      return isList(body.messages) ? answerChat(asked) : undefined;
    case "/v1/completions":
      return answerCompletion(asked);
    case "/v1/responses":
      return answerResponse(asked);
    case "/v1/embeddings":
      return { whole: answerEmbeddings(asked), events: [] };
    case "/v1/messages":
      return isList(body.messages) && typeof body.max_tokens === "number" ? answerMessage(asked) : undefined;
    case "/v1/messages/count_tokens":
      return { whole: { input_tokens: countTokens(body.messages) }, events: [] };
    default:
      return undefined;
  }
}

function answerList(state: State, question: Question): void {
  const { path, response, isAnthropic } = question;
  const describe = isAnthropic ? describeAnthropicModel : describeModel;
  const id = path.slice("/v1/models/".length);
  if (path === "/stats") {
    sendJson(response, 200, { requests: state.count, open: state.open });
  } else if (path === "/v1/models") {
    const data = state.models.map(describe);
    const ends = { has_more: false, first_id: state.models[0] ?? null, last_id: state.models.at(-1) ?? null };
    sendJson(response, 200, isAnthropic ? { data, ...ends } : { object: "list", data });
  } else if (state.models.includes(id)) {
    sendJson(response, 200, describe(id));
  } else {
    refuse(question, 404, "No such model.", "model_not_found");
  }
}

async function send(
  { response, headers }: Question,
  parts: { readonly made: ModelAnswer; readonly body: JsonObject; readonly wish: Wish },
): Promise<void> {
  const { made, body, wish } = parts;
  const credential = wish.echoesCredential
    ? String(headers.authorization ?? headers["x-api-key"])
    : undefined;
  if (body.stream === true) {
    await sendStream(response, { made, wish, credential });
    return;
  }
  if (wish.delayMs > 0) await sleep(wish.delayMs);
  if (wish.abortAfter !== undefined) {
    response.writeHead(200, { "content-type": "application/json", "content-length": "100000" });
    response.write('{"id":');
    await sleep(5);
    response.destroy();
    return;
  }
  sendJson(response, 200, credential === undefined ? made.whole : { ...made.whole, credential });
}

async function sendStream(
  response: ServerResponse,
  parts: { readonly made: ModelAnswer; readonly wish: Wish; readonly credential: string | undefined },
): Promise<void> {
  const { made, wish, credential } = parts;
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
  });
  if (credential !== undefined) response.write(`: ${credential}\n\n`);
  for (const [index, { event, data }] of made.events.entries()) {
    if (wish.abortAfter === index) {
      // What was written is to arrive before the end of the connection does.
      await sleep(5);
      response.destroy();
      return;
    }
    if (response.destroyed) return;
    const name = event === undefined ? "" : `event: ${event}\n`;
    const isFull = !response.write(`${name}data: ${data === "[DONE]" ? data : JSON.stringify(data)}\n\n`);
    if (isFull) await Promise.race([once(response, "drain"), once(response, "close")]);
    if (wish.delayMs > 0) await sleep(wish.delayMs);
  }
  response.end();
}

function sendJson(response: ServerResponse, status: number, value: Json): void {
  const text = JSON.stringify(value);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    "x-request-id": "req_fake",
    "openai-organization": "org-fake",
  });
  response.end(text);
}

function holdsKey({ apiKey }: State, headers: IncomingMessage["headers"], isAnthropic: boolean): boolean {
  if (apiKey === undefined) return true;
  return isAnthropic ? headers["x-api-key"] === apiKey : headers.authorization === `Bearer ${apiKey}`;
}

function isList(value: Json | undefined): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isJsonObject);
}

async function readText(request: IncomingMessage): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request) {
    if (!(part instanceof Uint8Array)) throw new Error("a body without encoding is bytes");
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new Error("too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
