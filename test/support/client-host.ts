/** A host of client documents on loopback, which answers what a test wants. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ClientHost {
  readonly origin: string;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  /** Answers a path; an object is sent as JSON. */
  put(
    path: string,
    answer: object | string,
    options?: { readonly status?: number; readonly location?: string },
  ): string;
  close(): void;
}

/** The URL of each document is what `put` returns. */
export async function startClientHost(): Promise<ClientHost> {
  const answers = new Map<
    string,
    { readonly status: number; readonly location?: string; readonly text: string }
  >();
  const asked: string[] = [];
  const program = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const { status = 404, location, text = "" } = answers.get(path) ?? {};
    response.writeHead(status, location === undefined ? {} : { location }).end(text);
  });
  await new Promise<void>((resolve) => program.listen(0, "127.0.0.1", resolve));
  program.unref();
  const { port } = program.address() as AddressInfo; // cast: a TCP server that listens has a port
  const origin = `http://127.0.0.1:${port}`;
  return {
    origin,
    asked,
    put: (path, answer, { status = 200, ...more } = {}) => {
      const text = typeof answer === "string" ? answer : JSON.stringify(answer);
      answers.set(path, { status, text, ...more });
      return `${origin}${path}`;
    },
    close: () => {
      program.closeAllConnections();
      program.close();
    },
  };
}
