/**
 * The HTTP API as the commands call it, over one of two transports: the admin socket of a server on this machine
 * (the caller is then `operator`), or HTTPS with requests that an owner's key signs.
 *
 * Deliberately knows nothing of commands. Answers are parsed by the schemas of `core/api`, so that a strange server
 * gives an error and not a strange table.
 */
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { isErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject, parseJson } from "@trustwarden/core/json.ts";

/** An entry bundle holds at most 256 entries of 64 KiB. */
export const MAX_ANSWER_BYTES = 17_000_000;

/** One request as a transport sends it. */
export interface ApiRequest {
  readonly method: "GET" | "POST";
  /** Path and query, exactly as sent. */
  readonly target: string;
  readonly body: Uint8Array;
  /** `stop` is the listener for revocation and health, which a flood on the main one does not starve. */
  readonly lane: "main" | "stop";
  /** Beside those of the transport. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** Sends one request; throws `server_unreachable` or `server_untrusted`. */
export interface Transport {
  readonly send: (request: ApiRequest) => Promise<ApiAnswer>;
  /** Lets go of idle connections, so that the process can end. */
  readonly close: () => void;
}

/** What turns a JSON value into a typed answer; every schema of `core/api` is one. */
interface Schema<T> {
  parse(value: unknown): T;
}

export interface Client {
  get<T>(target: string, schema: Schema<T>): Promise<T>;
  getBytes(target: string): Promise<Uint8Array>;
  getText(target: string): Promise<string>;
  post<T>(call: {
    readonly target: string;
    readonly body: JsonObject;
    readonly schema: Schema<T>;
    readonly lane?: "stop";
  }): Promise<T>;
  /** The answer as it came, such as lines of JSON. */
  postText(call: { readonly target: string; readonly body: JsonObject }): Promise<string>;
}

export function createClient(transport: Transport): Client {
  const getBytes = async (target: string): Promise<Uint8Array> =>
    requireSuccess(await transport.send({ method: "GET", target, body: new Uint8Array(), lane: "main" }));
  return {
    getBytes,
    getText: async (target) => parseUtf8(await getBytes(target)),
    get: async (target, schema) => parseAnswer(await getBytes(target), schema),
    post: async ({ target, body, schema, lane }) =>
      parseAnswer(await post(transport, { target, body, lane: lane ?? "main" }), schema),
    postText: async (call) => parseUtf8(await post(transport, { ...call, lane: "main" })),
  };
}

async function post(
  transport: Transport,
  { body, ...call }: Pick<ApiRequest, "target" | "lane"> & { readonly body: JsonObject },
): Promise<Uint8Array> {
  const bytes = encodeUtf8(JSON.stringify(body));
  return requireSuccess(await transport.send({ ...call, method: "POST", body: bytes }));
}

/** A path with a query of the members that are set. */
export function formatTarget(
  path: string,
  query: Readonly<Record<string, string | number | undefined>> = {},
): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) params.set(name, String(value));
  }
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** The pages of a list, each asked for when the one before was taken. */
export async function* readPages<Page extends { readonly next_cursor: string | null }>(
  client: Client,
  list: {
    readonly path: string;
    readonly query?: Parameters<typeof formatTarget>[1];
    readonly schema: Schema<Page>;
  },
): AsyncGenerator<Page> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: Page = await client.get(formatTarget(list.path, { ...list.query, cursor }), list.schema);
    yield page;
    cursor = page.next_cursor;
  }
}

function requireSuccess({ status, body }: ApiAnswer): Uint8Array {
  if (status >= 200 && status < 300) return body;
  throw parseRefusal(status, body);
}

function parseAnswer<T>(body: Uint8Array, schema: Schema<T>): T {
  const json = parseJson(parseUtf8(body), MAX_ANSWER_BYTES);
  try {
    return schema.parse(json);
  } catch (cause) {
    throw new TrustWardenError(
      "server_untrusted",
      { why: "the server's answer does not have the documented form; it may be another version" },
      { cause },
    );
  }
}

/** The server's own code, with its counter-example; anything else becomes `internal` with the status. */
function parseRefusal(status: number, body: Uint8Array): TrustWardenError {
  const error = parseErrorMember(body);
  const code = typeof error?.code === "string" ? error.code : "";
  if (!isErrorCode(code)) return new TrustWardenError("internal", { why: "the server gave no code", status });
  const counterexample = error?.counterexample;
  return new TrustWardenError(code, typeof counterexample === "string" ? { counterexample } : {});
}

function parseErrorMember(body: Uint8Array): JsonObject | undefined {
  try {
    const json = parseJson(parseUtf8(body));
    const error = isJsonObject(json) ? json.error : undefined;
    return isJsonObject(error) ? error : undefined;
  } catch {
    // Safe to go on: the caller throws in any case, only without the server's own code.
    return undefined;
  }
}
