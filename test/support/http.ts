/**
 * Raw requests to a server, as anybody with a TLS library can send them: nothing of the SDK, nothing checked, so that
 * a test can also send what an honest client never would.
 */
import { request as plainRequest } from "node:http";
import { Agent, type RequestOptions, request as tlsRequest } from "node:https";

/** A key and the certificates that go with it, PEM. */
export interface ClientTls {
  readonly key: string;
  readonly cert: string;
}

export interface RawRequest {
  readonly method?: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  readonly bytes: Buffer;
  /** Of the connection that was used. */
  readonly localPort: number | undefined;
}

/** Sends one request over TLS on a connection of its own. @param tls - without it the client is anonymous. */
export function send(url: string, request: RawRequest, tls?: ClientTls): Promise<RawAnswer> {
  const agent = new Agent({ rejectUnauthorized: false, maxCachedSessions: 0, ...tls });
  return sendOver(url, request, agent).finally(() => agent.destroy());
}

/** Sends one request over connections that the caller owns. */
export function sendOver(url: string, request: RawRequest, agent: Agent): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return exchange({ host: hostname, port, agent }, request);
}

/** Sends one request without TLS, on a connection of its own. */
export function sendClear(
  place: { readonly host: string; readonly port: string },
  request: RawRequest,
): Promise<RawAnswer> {
  return exchange({ ...place, agent: false, isPlain: true }, request);
}

/** Sends one request over the admin socket. */
export function sendAdmin(socketPath: string, request: RawRequest): Promise<RawAnswer> {
  return exchange({ socketPath, isPlain: true }, request);
}

/** JSON of an answer, for reading in tests. */
export function jsonOf(answer: RawAnswer): Record<string, unknown> {
  const value: unknown = JSON.parse(answer.text);
  if (typeof value !== "object" || value === null) throw new Error("not an object");
  return { ...value };
}

/** The error code that a caller sees. */
export function codeOf(answer: RawAnswer): unknown {
  const { error } = jsonOf(answer);
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

function exchange(
  options: RequestOptions & { readonly isPlain?: boolean },
  { method = "GET", target, headers = {}, body }: RawRequest,
): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  const send = options.isPlain === true ? plainRequest : tlsRequest;
  const outgoing = send(
    { ...options, method, path: target, headers: defaultHeaders(headers, body) },
    (answer) => {
      const { localPort } = answer.socket;
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const bytes = Buffer.concat(chunks);
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          text: bytes.toString("utf8"),
          localPort,
          bytes,
        });
      });
    },
  );
  outgoing.on("error", reject);
  outgoing.end(body);
  return promise;
}

function defaultHeaders(
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array | undefined,
): Record<string, string> {
  return body === undefined
    ? { ...headers }
    : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)), ...headers };
}
