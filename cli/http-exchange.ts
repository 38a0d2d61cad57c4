/**
 * One HTTP/1.1 request, over the admin socket or over TLS to a peer that the agent has proven.
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { type Agent, request as httpsRequest } from "node:https";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type ApiAnswer, type ApiRequest, MAX_ANSWER_BYTES } from "./client.ts";

const inflate = promisify(gunzip);

/** A revoke waits for one lease (700 ms); nothing else is silent for long. */
const TIMEOUT_MS = 15_000;
/** For the whole of an exchange, however slowly bytes come: our own server sends the largest answer in a fraction of it. */
const LIMIT_MS = 120_000;

/**
 * @param limitMs - for all of it.
 * @throws TrustWardenError `server_unreachable` with the reason, or `request_too_large` for a giant answer.
 */
export function exchange(
  request: ApiRequest,
  options: RequestOptions,
  limitMs = LIMIT_MS,
): Promise<ApiAnswer> {
  return send(httpRequest, request, { options: { ...options, agent: false }, limitMs });
}

/**
 * The same over TLS; who may be at the other end is the agent's business.
 *
 * @throws TrustWardenError as `exchange`, and whatever the agent refuses with.
 */
export function exchangeTls({
  origin,
  request,
  agent,
  headers,
  limitMs = LIMIT_MS,
}: {
  readonly origin: string;
  readonly request: ApiRequest;
  readonly agent: Agent;
  readonly headers: Readonly<Record<string, string>>;
  readonly limitMs?: number;
}): Promise<ApiAnswer> {
  const { hostname, port, host } = new URL(origin);
  // Node takes IPv6 addresses without their brackets.
  const address = hostname.replace(/^\[|\]$/g, "");
  const options = { host: address, port, agent, headers: { ...headers, host } };
  return send(httpsRequest, request, { options, limitMs });
}

function send(
  makeRequest: typeof httpRequest,
  { method, target, body, headers: own }: ApiRequest,
  { options, limitMs }: { readonly options: RequestOptions; readonly limitMs: number },
): Promise<ApiAnswer> {
  const headers = {
    ...options.headers,
    ...own,
    ...(method === "POST" ? { "content-type": "application/json", "content-length": body.length } : {}),
  };
  return new Promise((resolve, reject) => {
    const sent = makeRequest({ ...options, method, path: target, headers }, (answer) => {
      readAnswer(answer).then(resolve, (cause: Error) =>
        reject(cause instanceof TrustWardenError ? cause : unreachable(cause)),
      );
    });
    const giveUp = (ms: number) => sent.destroy(new Error(`no answer within ${ms} ms`));
    const limit = setTimeout(giveUp, limitMs, limitMs);
    sent.on("close", () => clearTimeout(limit));
    sent.setTimeout(TIMEOUT_MS, () => giveUp(TIMEOUT_MS));
    sent.on("error", (cause) => reject(cause instanceof TrustWardenError ? cause : unreachable(cause)));
    sent.end(body);
  });
}

/** The error of a connection that could not be made or broke. */
function unreachable(cause: Error): TrustWardenError {
  return new TrustWardenError("server_unreachable", { why: cause.message }, { cause });
}

async function readAnswer(answer: IncomingMessage): Promise<ApiAnswer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer) {
    const bytes = Buffer.from(part);
    size += bytes.length;
    if (size > MAX_ANSWER_BYTES) throw tooLarge();
    parts.push(bytes);
  }
  const body = Buffer.concat(parts);
  const encoding = answer.headers["content-encoding"];
  return {
    status: answer.statusCode ?? 0,
    body: encoding === undefined ? body : await decode(body, encoding),
  };
}

/** A log may keep its entries compressed and give them out so (C2SP tlog-tiles); a few bytes must not become a full memory. */
async function decode(body: Uint8Array, encoding: string): Promise<Uint8Array> {
  if (encoding !== "gzip") throw new TrustWardenError("server_unreachable", { why: "another encoding" });
  try {
    return await inflate(body, { maxOutputLength: MAX_ANSWER_BYTES });
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge(cause);
    throw new TrustWardenError("server_unreachable", { why: "it does not inflate" }, { cause });
  }
}

function tooLarge(cause?: unknown): TrustWardenError {
  return new TrustWardenError("request_too_large", { maxBytes: MAX_ANSWER_BYTES }, { cause });
}
