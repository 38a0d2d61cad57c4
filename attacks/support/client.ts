/**
 * The attacker's HTTP: any method, target, header and certificate, from any loopback address, with nothing checked.
 */
import { Agent } from "node:https";
import { connect } from "node:tls";
import {
  type ClientTls,
  codeOf,
  type RawAnswer,
  type RawRequest,
  sendOver,
} from "../../test/support/http.ts";
import { expect, expectSame } from "../scenario.ts";

const RAW_TIMEOUT_MS = 10_000;
/** A server that has begun to answer and says no more has said everything. */
const RAW_IDLE_MS = 300;

/** Where a request comes from. */
export interface Origin {
  /** Local address; each scenario has one of its own, since the server counts refusals by peer. */
  readonly from?: string | undefined;
  /** What is presented in the handshake; anonymous without. */
  readonly tls?: ClientTls | undefined;
}

/** Sends one request on a connection of its own. */
export function call(url: string, request: RawRequest, origin: Origin = {}): Promise<RawAnswer> {
  const agent = openAgent(origin);
  return sendOver(url, request, agent).finally(() => agent.destroy());
}

/** As `call`, where a server that does not answer is the attack's success. @throws Breach */
export async function callLiving(url: string, request: RawRequest, origin: Origin = {}): Promise<RawAnswer> {
  const answer = await call(url, request, origin).catch(() => undefined);
  expect(answer !== undefined, "the process lives and answers");
  return answer;
}

/** Connections that stay open, for many requests. */
export function openAgent({ from, tls }: Origin, options: { readonly maxSockets?: number } = {}): Agent {
  const local = from === undefined ? {} : { localAddress: from };
  return new Agent({
    keepAlive: true,
    rejectUnauthorized: false,
    maxCachedSessions: 0,
    ...options,
    ...local,
    ...tls,
  });
}

/** Writes bytes to a TLS connection and reads until it ends, or for a while. */
export function sendRaw(
  url: string,
  bytes: string | Uint8Array,
  { from, tls }: Origin = {},
): Promise<string> {
  const { hostname, port } = new URL(url);
  const local = from === undefined ? {} : { localAddress: from };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false, ...local, ...tls });
  const parts: Buffer[] = [];
  const done = (): void => {
    clearTimeout(timer);
    clearTimeout(idle);
    socket.destroy();
    resolve(Buffer.concat(parts).toString("latin1"));
  };
  const timer = setTimeout(done, RAW_TIMEOUT_MS);
  socket.once("secureConnect", () => socket.write(bytes));
  let idle: NodeJS.Timeout | undefined;
  socket.on("data", (part: Buffer) => {
    parts.push(part);
    clearTimeout(idle);
    idle = setTimeout(done, RAW_IDLE_MS);
  });
  socket.on("end", done);
  // A reset in the middle of an oversized request is one way to refuse it; what was read before is the answer.
  socket.on("error", (error) => (socket.connecting ? reject(error) : done()));
  return promise;
}

/** Status of a raw answer; 0 when the connection was cut without one. */
export function statusOfRaw(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}

/** @throws Breach unless the answer is this refusal, in the words of the table. */
export function expectRefusal(
  answer: RawAnswer,
  expected: { readonly status: number; readonly code: string },
  what: string,
): void {
  const isJson = answer.text.startsWith("{");
  expectSame({ status: answer.status, code: isJson ? codeOf(answer) : answer.text }, expected, what);
}

/** The refusal of whoever could not prove who it is. */
export const UNPROVEN = { status: 401, code: "principal_refused" } as const;
/** The refusal of what does not parse. */
export const MALFORMED = { status: 400, code: "request_malformed" } as const;
