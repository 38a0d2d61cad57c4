/**
 * Single requests to an S3-compatible object store: GET, conditional PUT, DELETE and a list of keys.
 *
 * Path style, one bucket, keys under one prefix, which are of letters that no URL has to encode. Every request here may
 * be sent twice without harm, so what a network or a busy server loses is asked again until a deadline; what was refused
 * is not. Nothing that the store writes into its answers appears in an error, only the name of its refusal.
 *
 * @see Amazon S3 API, `GetObject`, `PutObject` (conditional writes), `DeleteObject`, `ListObjectsV2`
 */
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { setTimeout } from "node:timers/promises";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** A full bundle of the largest entries that the format has, and their lengths. */
const MAX_ANSWER_BYTES = 16_842_752;
const MAX_HEADER_BYTES = 16_384;
const MAX_SOCKETS = 8;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2000;
/** Too early, too often, a conflicting request under way, or a server in trouble. */
const PASSING: readonly number[] = [409, 425, 429, 500, 502, 503, 504];
const KEY = /^[A-Za-z0-9._/-]{1,512}$/;
const REFUSAL = /<Code>([A-Za-z0-9]{1,64})<\/Code>/;
const LISTED = /<Key>([A-Za-z0-9._/-]{1,1024})<\/Key>/g;
const NO_BYTES = new Uint8Array(0);

/** A request before it is signed; `path` and `query` are canonical. */
export interface S3Request {
  readonly method: "GET" | "PUT" | "DELETE";
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Where the objects are, and who asks. */
export interface S3Place {
  /** Origin of the store. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Before every key; empty, or with a slash at its end. */
  readonly prefix: string;
  /** PEM of the authorities that certify the store; the system's when absent. */
  readonly ca?: string | undefined;
  /** Of one request, from the first byte sent to the last received. */
  readonly timeoutMs: number;
  /** How long a request is tried again. */
  readonly retryForMs: number;
  /** All headers of a request with its signature. */
  readonly sign: (request: S3Request) => Readonly<Record<string, string>>;
}

/** An object as it is kept. */
export interface S3Object {
  readonly bytes: Uint8Array;
  /** The version's name, as a condition takes it. */
  readonly etag: string;
}

/** On which version of an object a write depends: none at all, or this one. */
export type S3Condition = { readonly kind: "absent" } | { readonly kind: "is"; readonly etag: string };

interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly body: Uint8Array;
}

/** Owns the connections to one store. */
export class S3Client {
  readonly #place: S3Place;
  readonly #url: URL;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(place: S3Place) {
    this.#place = place;
    this.#url = new URL("/", place.endpoint);
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    this.#agent = this.#url.protocol === "https:" ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Ends the idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  /** The object, or null when there is none. @throws TrustWardenError `store_unavailable`. */
  async get(key: string): Promise<S3Object | null> {
    const { status, etag, body } = await this.#ask({ method: "GET", key });
    if (status === 200 && etag !== undefined) return { bytes: body, etag };
    // A missing bucket is not a missing object.
    if (status === 404 && refusalOf(body) === "NoSuchKey") return null;
    throw unavailable({ status, refusal: refusalOf(body) });
  }

  /**
   * Writes an object when the condition holds.
   *
   * @returns the new version's name; null when the condition does not hold.
   * @throws TrustWardenError `store_unavailable`: it may have been written or not.
   */
  async put(
    key: string,
    written: {
      readonly bytes: Uint8Array;
      readonly condition: S3Condition;
      readonly headers: Readonly<Record<string, string>>;
    },
  ): Promise<string | null> {
    const { bytes, condition } = written;
    const when: Readonly<Record<string, string>> =
      condition.kind === "absent" ? { "if-none-match": "*" } : { "if-match": condition.etag };
    const headers = { ...written.headers, ...when };
    const { status, etag, body } = await this.#ask({ method: "PUT", key, headers, body: bytes });
    if (status === 200 && etag !== undefined) return etag;
    const isGone = status === 404 && refusalOf(body) === "NoSuchKey";
    if (status === 412 || (isGone && condition.kind === "is")) return null;
    throw unavailable({ status, refusal: refusalOf(body) });
  }

  /** Removes an object, if it is there. @throws TrustWardenError `store_unavailable`. */
  async remove(key: string): Promise<void> {
    const { status, body } = await this.#ask({ method: "DELETE", key });
    if (status !== 204 && status !== 200 && refusalOf(body) !== "NoSuchKey")
      throw unavailable({ status, refusal: refusalOf(body) });
  }

  /** Keys that begin so, the first thousand at most. @throws TrustWardenError `store_unavailable`. */
  async list(start: string): Promise<readonly string[]> {
    const { prefix } = this.#place;
    const query = `list-type=2&prefix=${encodeURIComponent(`${prefix}${start}`)}`;
    const { status, body } = await this.#ask({ method: "GET", key: "", query });
    if (status !== 200) throw unavailable({ status, refusal: refusalOf(body) });
    const keys = [...textOf(body).matchAll(LISTED)].map(([, key = ""]) => key);
    return keys.filter((key) => key.startsWith(`${prefix}${start}`)).map((key) => key.slice(prefix.length));
  }

  async #ask(asked: {
    readonly method: S3Request["method"];
    readonly key: string;
    readonly query?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Uint8Array;
  }): Promise<Answer> {
    const { bucket, prefix, retryForMs } = this.#place;
    const { method, key, query = "", headers = {}, body = NO_BYTES } = asked;
    if (key !== "" && !KEY.test(key)) throw new Error("a key of the ledger needs no encoding");
    const path = key === "" ? `/${bucket}` : `/${bucket}/${prefix}${key}`;
    const request: S3Request = { method, host: this.#url.host, path, query, headers, body };
    const deadlineMs = performance.now() + retryForMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      const isLast = performance.now() + pauseMs > deadlineMs;
      const answer = await this.#once(request, isLast);
      if (answer !== null && (isLast || !PASSING.includes(answer.status))) return answer;
      await setTimeout(pauseMs);
    }
  }

  /** One try; null when nothing came back and there are tries left. */
  async #once(request: S3Request, isLast: boolean): Promise<Answer | null> {
    try {
      return await this.#send(request);
    } catch (cause) {
      if (cause instanceof TrustWardenError) throw cause;
      if (!isLast) return null;
      throw unavailable({ refusal: "no answer" }, cause);
    }
  }

  async #send({ method, path, query, headers, body, host }: S3Request): Promise<Answer> {
    const { sign, timeoutMs, ca } = this.#place;
    const signed = sign({ method, host, path, query, headers, body });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const isTls = this.#url.protocol === "https:";
    const call = (isTls ? requestHttps : requestHttp)(
      new URL(query === "" ? path : `${path}?${query}`, this.#url),
      {
        method,
        headers: { ...signed, "content-length": String(body.length) },
        agent: this.#agent,
        maxHeaderSize: MAX_HEADER_BYTES,
        signal: AbortSignal.timeout(timeoutMs),
        ...(isTls ? { rejectUnauthorized: true, minVersion: "TLSv1.2", ...(ca && { ca }) } : {}),
      },
      resolve,
    );
    call.on("error", reject);
    call.end(body);
    const response = await promise;
    return {
      status: response.statusCode ?? 0,
      etag: response.headers.etag,
      body: await readBytes(response),
    };
  }
}

async function readBytes(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    if (!Buffer.isBuffer(part)) throw new Error("a response without encoding yields buffers");
    length += part.length;
    if (length > MAX_ANSWER_BYTES) throw unavailable({ refusal: "the answer is too large" });
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function refusalOf(body: Uint8Array): string {
  const [, name = ""] = REFUSAL.exec(textOf(body)) ?? [];
  return name;
}

function textOf(body: Uint8Array): string {
  try {
    return parseUtf8(body);
  } catch {
    throw unavailable({ refusal: "the answer is not text" });
  }
}

function unavailable(details: Readonly<Record<string, string | number>>, cause?: unknown): TrustWardenError {
  return new TrustWardenError("store_unavailable", { store: "objects", ...details }, { cause });
}
