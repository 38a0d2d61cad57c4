/** A collector of spans: takes OTLP over HTTP, JSON, and keeps what it was sent. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[];
  readonly status?: { readonly code: number };
}

export interface SpanCollector {
  readonly url: string;
  /** Bodies as they came. */
  readonly bodies: string[];
  spans(): readonly CollectedSpan[];
  close(): Promise<void>;
}

/** @param status - what each export is answered with. */
export async function startSpanCollector(status: () => number = () => 200): Promise<SpanCollector> {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const answered = status();
      if (answered === 200 && request.url === "/v1/traces") bodies.push(Buffer.concat(parts).toString());
      response.writeHead(answered, { "content-type": "application/json" }).end("{}");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = Object(server.address()) as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1/traces`,
    bodies,
    spans: () =>
      bodies.flatMap((body) =>
        JSON.parse(body).resourceSpans.flatMap(
          (resource: { readonly scopeSpans: readonly { spans: CollectedSpan[] }[] }) =>
            resource.scopeSpans.flatMap(({ spans }) => spans),
        ),
      ),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
