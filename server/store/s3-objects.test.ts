/** What is believed of an object store, beside one that misbehaves; `./dev interop` has a real one. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { S3Client } from "./s3-client.ts";
import { S3LogObjects, S3LogReader } from "./s3-objects.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function clientOf(answer: Answer, retryForMs = 0): Promise<S3Client> {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => answer(request, response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${address.port}`,
    bucket: "ledgers",
    prefix: "acme/",
    timeoutMs: 10_000,
    retryForMs,
    sign: ({ host, headers }) => ({ ...headers, host }),
  });
  cleanups.push(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return client;
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(`<Error><Code>${code}</Code><Message>secret words</Message></Error>`);
}

describe("an object store", () => {
  it("that ignores conditions is not used", async () => {
    const client = await clientOf((_request, response) => response.writeHead(200, { etag: '"1"' }).end());
    await expect(new S3LogObjects(client).open()).rejects.toMatchObject({ code: "config_invalid" });
  });

  it("that has no such object says so; that has no such bucket, or refuses, is not believed to have none", async () => {
    for (const [status, code, expected] of [
      [404, "NoSuchKey", "not_found"],
      [404, "NoSuchBucket", "store_unavailable"],
      [403, "AccessDenied", "store_unavailable"],
    ] as const) {
      const client = await clientOf((_request, response) => refuse(response, status, code));
      await expect(new S3LogReader(client).readObject("tile/0/000")).rejects.toMatchObject({
        code: expected,
      });
    }
  });

  it("is asked again while it is busy, and for so long only", async () => {
    let asked = 0;
    const patient = await clientOf((_request, response) => {
      asked += 1;
      if (asked < 3) return refuse(response, 503, "SlowDown");
      response.writeHead(200, { etag: '"1"' }).end("found");
    }, 60_000);
    expect(Buffer.from(await new S3LogReader(patient).readObject("tile/0/000")).toString()).toBe("found");
    const busy = await clientOf((_request, response) => refuse(response, 503, "SlowDown"));
    const failed = await new S3LogReader(busy).readObject("tile/0/000").catch((error: unknown) => error);
    expect(failed).toMatchObject({
      code: "store_unavailable",
      details: { status: 503, refusal: "SlowDown" },
    });
    expect(JSON.stringify(failed)).not.toContain("secret words");
  });

  it("that breaks off in its answer has not answered", async () => {
    const client = await clientOf((_request, response) => {
      response.writeHead(200, { etag: '"1"', "content-length": "10" }).write("half");
      response.destroy();
    });
    const read = new S3LogReader(client).readObject("tile/0/000");
    await expect(read).rejects.toMatchObject({ code: "store_unavailable" });
  });

  it("cannot make the reader take more than a bundle can have", async () => {
    const client = await clientOf((_request, response) => {
      response.writeHead(200, { etag: '"1"' });
      const part = Buffer.alloc(1_048_576);
      for (let parts = 0; parts < 17; parts += 1) response.write(part);
      response.end();
    });
    const read = new S3LogReader(client).readObject("tile/0/000");
    await expect(read).rejects.toMatchObject({ code: "store_unavailable" });
  });

  it("is asked for tiles only, whatever a request names", async () => {
    let asked = 0;
    const client = await clientOf((_request, response) => {
      asked += 1;
      response.writeHead(200, { etag: '"1"' }).end();
    });
    for (const path of ["checkpoint", "../x", "tile/0/000?versionId=1", "tile/0/%2e%2e"])
      await expect(new S3LogReader(client).readObject(path)).rejects.toMatchObject({ code: "not_found" });
    expect(asked).toBe(0);
  });
});
