/**
 * A stand-in for an S3-compatible object store, in memory: conditional writes, reads, removals and lists, as far as a ledger
 * asks for them. It outlives the servers that write it. A real one is asked by `./dev interop --only storage`.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface TestObjectStore {
  /** Origin of the store. */
  readonly endpoint: string;
  close(): Promise<void>;
}

export async function startObjectStore(): Promise<TestObjectStore> {
  const objects = new Map<string, Buffer>();
  const server = createServer((request, response) => {
    answer(objects, request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  objects: Map<string, Buffer>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? "", "http://store");
  const body = Buffer.concat(await request.toArray());
  const before = objects.get(pathname);
  switch (request.method) {
    case "PUT": {
      const { "if-none-match": none, "if-match": match } = request.headers;
      if (none === "*" && before !== undefined) return refuse(response, 412, "PreconditionFailed");
      if (match !== undefined && before === undefined) return refuse(response, 404, "NoSuchKey");
      if (match !== undefined && before !== undefined && match !== etagOf(before))
        return refuse(response, 412, "PreconditionFailed");
      objects.set(pathname, body);
      response.writeHead(200, { etag: etagOf(body) }).end();
      return;
    }
    case "DELETE":
      objects.delete(pathname);
      response.writeHead(204).end();
      return;
    default: {
      const prefix = searchParams.get("prefix");
      if (prefix !== null) {
        const keys = [...objects.keys()].map((path) => path.slice(pathname.length + 1));
        const found = keys.filter((key) => key.startsWith(prefix)).map((key) => `<Key>${key}</Key>`);
        response.writeHead(200, { etag: '"list"' }).end(`<List>${found.join("")}</List>`);
        return;
      }
      if (before === undefined) return refuse(response, 404, "NoSuchKey");
      response.writeHead(200, { etag: etagOf(before) }).end(before);
    }
  }
}

function etagOf(bytes: Buffer): string {
  return `"${createHash("md5").update(bytes).digest("hex")}"`;
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`);
}
