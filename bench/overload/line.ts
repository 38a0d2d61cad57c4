/**
 * One kept TLS connection with one request at a time, and as little of its own work as can be: what a load costs the one
 * who makes it is taken from the same processors as what it costs the server.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { connect, type SecureContext } from "node:tls";
import type { RawRequest } from "../../test/support/http.ts";

const END_OF_HEAD = "\r\n\r\n";
const STATUS_AT = "HTTP/1.1 ".length;

/** What came back. */
export interface LineAnswer {
  readonly status: number;
  /** The whole head, for what a phase wants to look at. */
  readonly head: string;
  readonly body: string;
}

/** Owns its socket; every answer goes to who asked. */
export class Line {
  readonly #socket: Socket;
  #text = "";
  #onAnswer: ((answer: LineAnswer) => void) | undefined;
  #onError: ((error: Error) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.setNoDelay(true);
    socket.on("data", (part: string) => this.#read(part));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the connection was closed")));
  }

  /** Connects. @param url - origin. */
  static async open(url: string, secureContext: SecureContext): Promise<Line> {
    const { hostname: host, port } = new URL(url);
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false, secureContext });
    await once(socket, "secureConnect");
    return new Line(socket);
  }

  /** A connection that somebody else opened, without TLS. */
  static over(socket: Socket): Line {
    return new Line(socket);
  }

  /** Sends what `encodeRequest` made, and resolves with its answer. */
  ask(bytes: Buffer): Promise<LineAnswer> {
    if (this.#socket.destroyed) return Promise.reject(new Error("the connection was closed"));
    const { promise, resolve, reject } = Promise.withResolvers<LineAnswer>();
    this.#onAnswer = resolve;
    this.#onError = reject;
    this.#socket.write(bytes);
    return promise;
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #read(part: string): void {
    this.#text += part;
    const headEnd = this.#text.indexOf(END_OF_HEAD);
    if (headEnd === -1) return;
    const head = this.#text.slice(0, headEnd);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#text.length < headEnd + END_OF_HEAD.length + length) return;
    const end = headEnd + END_OF_HEAD.length + length;
    const body = this.#text.slice(headEnd + END_OF_HEAD.length, end);
    this.#text = this.#text.slice(end);
    this.#onAnswer?.({ status: Number(head.slice(STATUS_AT, STATUS_AT + 3)), head, body });
  }

  #fail(error: Error): void {
    this.#onError?.(error);
  }
}

/** The bytes of a request, made before the clock runs. */
export function encodeRequest({ method = "GET", target, headers = {}, body = "" }: RawRequest): Buffer {
  const bytes = Buffer.from(body);
  const lines = [
    `${method} ${target} HTTP/1.1`,
    "host: localhost",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(bytes.length === 0 ? [] : ["content-type: application/json", `content-length: ${bytes.length}`]),
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}${END_OF_HEAD}`), bytes]);
}
