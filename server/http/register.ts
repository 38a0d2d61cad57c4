/**
 * Puts the rows of the route table on one Fastify server: strict JSON in, schema-shaped JSON out, nothing else.
 */
import { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { errorAnswer } from "@trustwarden/core/api/ledger.ts";
import { oauthErrorAnswer } from "@trustwarden/core/api/oauth.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJson } from "@trustwarden/core/json.ts";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { z } from "zod";
import { type Place, placeOf } from "../intake/request-places.ts";
import { type Arrival, formatPeer, type HeadRules, MAX_BODY_BYTES, requireCleanHead } from "./arrival.ts";
import { formatErrorAnswer, logFailure, toTrustWardenError } from "./errors.ts";
import { parseForm } from "./form.ts";
import {
  type Dialect,
  dialectOf,
  formatRoute,
  isHeadedAnswer,
  isRawAnswer,
  type ListenerName,
  type Route,
  type Several,
} from "./route.ts";
import type { EventLog } from "./services.ts";

const EMPTY = new Uint8Array(0);
/** A query that no row asked for is a mistake or a probe. */
const NO_QUERY = z.strictObject({});
/** Visible ASCII and spaces: it goes back as a header, and into events. */
const REQUEST_ID = /^[\x20-\x7e]{1,256}$/;

/** Exact bytes of bodies by request: commitments and signatures cover bytes, not values. */
const rawBodies = new WeakMap<object, Uint8Array>();

/** What a listener is made of. */
export interface ServeOptions {
  readonly routes: readonly Route[];
  readonly listener: ListenerName;
  readonly rules: HeadRules;
  /** Answers an arrival; the guarded ones through the path. */
  readonly serve: (route: Route, arrival: Arrival) => Promise<unknown>;
  /** Headers of every answer of a row, whatever becomes of the request. */
  readonly headersOf?: (route: Route) => Readonly<Record<string, string>>;
  /** Headers of everything that this listener sends, refusals too. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly log: EventLog;
}

/** Serves the rows of one listener. */
export function registerRoutes(app: FastifyInstance, options: ServeOptions): void {
  const { listener, serve, headersOf = () => ({}) } = options;
  prepareServer(app, options);
  const keepStream = createStreams(app);
  for (const route of options.routes) {
    if (route.answer === "upgrade" || !route.listeners.includes(listener)) continue;
    app.route({
      method: route.method,
      url: route.path,
      schema: schemaOf(route),
      ...(route.maxBodyBytes === undefined ? {} : { bodyLimit: route.maxBodyBytes }),
      onRequest: async (_request, reply) => void reply.headers(headersOf(route)),
      handler: async (request, reply) => {
        const arrival = arrivalOf(request, { route, listener });
        arrival.place.take();
        // A body that is still sent, or a stream that goes on, costs this thread little.
        const value = await inTurn(arrival.place, () => serve(route, arrival));
        keepStream(value);
        return answer(reply.code(route.status ?? 200), value);
      },
    });
  }
}

/** Holds the place from before the turn until the answer. */
async function inTurn(place: Place, work: () => Promise<unknown>): Promise<unknown> {
  try {
    await place.turn();
    return await work();
  } finally {
    place.leave();
  }
}

/** Body, query, path and answer of a row, as Fastify and the OpenAPI generator read them. */
export function schemaOf(route: Route): Record<string, unknown> {
  return {
    summary: route.summary,
    ...(route.body === undefined ? {} : { body: bodyOf(route, route.body) }),
    ...(route.params === undefined ? {} : { params: route.params }),
    querystring: route.query ?? NO_QUERY,
    response: {
      ...(typeof route.answer === "string" ? {} : { [route.status ?? 200]: answerOf(route, route.answer) }),
      "4xx": dialectOf(route) === "oauth" ? oauthErrorAnswer : errorAnswer,
      "5xx": dialectOf(route) === "oauth" ? oauthErrorAnswer : errorAnswer,
    },
  };
}

function bodyOf(route: Route, body: z.ZodType): z.ZodType {
  const several = severalOf(route);
  return several === undefined ? body : z.union([body, several.body]);
}

function answerOf(route: Route, answer: z.ZodType): z.ZodType {
  const several = severalOf(route);
  return several === undefined ? answer : z.union([answer, several.answer]);
}

function severalOf(route: Route): Several | undefined {
  return route.access === "public" ? undefined : route.several;
}

function prepareServer(app: FastifyInstance, { rules, log, routes, headers = {} }: ServeOptions): void {
  const dialects = new Map(routes.map((route) => [formatRoute(route), dialectOf(route)]));
  const gzipped = new Set(routes.filter(({ acceptsGzip }) => acceptsGzip === true).map(formatRoute));
  const served = new Set(routes.map(formatRoute));
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    "application/json",
    { parseAs: "buffer" },
    async (request: FastifyRequest, sent: Buffer) => {
      requireDialect(dialects, request, "json");
      const body = plainBody(request, sent);
      rawBodies.set(request.raw, body);
      // The row has its own limit of bytes, which was held before.
      return parseJson(parseUtf8(body), body.length);
    },
  );
  app.addHook("onRequest", async (request, reply) => {
    void reply.headers(headers);
    const name = routeNameOf(request);
    requireCleanHead(request.raw, {
      ...rules,
      acceptsGzip: gzipped.has(name),
      allowsMethod: served.has(name),
    });
    echoRequestId(request, reply);
  });
  app.addContentTypeParser(
    "application/x-www-form-urlencoded",
    { parseAs: "buffer" },
    async (request: FastifyRequest, body: Buffer) => {
      requireDialect(dialects, request, "oauth");
      rawBodies.set(request.raw, body);
      return parseForm(parseUtf8(body));
    },
  );
  app.setNotFoundHandler(async () => {
    throw new TrustWardenError("not_found");
  });
  app.setErrorHandler(async (error, request, reply) => {
    const failure = toTrustWardenError(error);
    logFailure(log, routeNameOf(request), failure);
    const dialect = dialects.get(routeNameOf(request));
    const { status, headers, body } = formatErrorAnswer(failure, dialect);
    return reply.code(status).headers(headers).send(body);
  });
}

/**
 * The body without its compression; what unpacks to more than the row takes is a bomb.
 *
 * @throws TrustWardenError `request_too_large`, `request_malformed`.
 */
function plainBody({ raw, routeOptions }: FastifyRequest, sent: Buffer): Buffer {
  if (raw.headers["content-encoding"] === undefined) return sent;
  try {
    return gunzipSync(sent, { maxOutputLength: routeOptions.bodyLimit ?? MAX_BODY_BYTES });
  } catch (cause) {
    const isBomb = cause instanceof RangeError;
    throw new TrustWardenError(isBomb ? "request_too_large" : "request_malformed", {}, { cause });
  }
}

/**
 * Gives a caller's name of its request back, with refusals too (Authorization API 1.0 §10.1.3).
 *
 * @throws TrustWardenError `request_malformed` for a name that is long or not plain text.
 */
function echoRequestId({ raw }: FastifyRequest, reply: FastifyReply): void {
  const id = raw.headers["x-request-id"];
  if (id === undefined) return;
  if (typeof id !== "string" || !REQUEST_ID.test(id)) {
    throw new TrustWardenError("request_malformed", { reason: "x-request-id" });
  }
  reply.header("x-request-id", id);
}

/** A body of the other kind is a bad request, as one of an unknown kind is. */
function requireDialect(
  dialects: ReadonlyMap<string, Dialect>,
  request: FastifyRequest,
  spoken: Dialect,
): void {
  if ((dialects.get(routeNameOf(request)) ?? "json") !== spoken) {
    throw new TrustWardenError("request_malformed", { reason: "media type" });
  }
}

/** The table's name of the route, never the target: that is the caller's text. */
function routeNameOf(request: FastifyRequest): string {
  const { url } = request.routeOptions;
  return url === undefined ? "none" : `${request.method} ${url}`;
}

function arrivalOf(
  request: FastifyRequest,
  { route, listener }: { readonly route: Route; readonly listener: ListenerName },
): Arrival {
  const { raw } = request;
  return {
    route,
    listener,
    socket: raw.socket,
    place: placeOf(raw),
    peer: formatPeer(raw.socket),
    method: request.method,
    target: raw.url ?? "",
    headers: raw.headers,
    rawBody: rawBodies.get(raw) ?? EMPTY,
    body: request.body,
    query: request.query,
    params: request.params,
  };
}

function answer(reply: FastifyReply, value: unknown): FastifyReply {
  reply.header("x-content-type-options", "nosniff");
  if (isHeadedAnswer(value)) {
    return reply.headers(value.headers).header("cache-control", "no-store").send(value.body);
  }
  if (!isRawAnswer(value)) return reply.header("cache-control", "no-store").send(value);
  return reply
    .code(value.status ?? 200)
    .headers(value.headers ?? {})
    .header("cache-control", value.cacheControl)
    .header("content-type", value.contentType)
    .send(value.content instanceof Uint8Array ? Buffer.from(value.content) : value.content);
}

/** Ends the open streams of a listener that closes: nobody waits for the end of a stream that has none. */
function createStreams(app: FastifyInstance): (value: unknown) => void {
  const open = new Set<Readable>();
  app.addHook("preClose", async () => {
    for (const stream of open) stream.destroy();
  });
  return (value) => {
    if (!isRawAnswer(value) || !(value.content instanceof Readable)) return;
    const { content } = value;
    open.add(content);
    content.once("close", () => open.delete(content));
  };
}
