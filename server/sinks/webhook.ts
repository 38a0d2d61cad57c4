/**
 * A webhook: one HTTPS POST a piece, signed so that the endpoint knows who sent it and that it is new.
 *
 * @see Standard Webhooks 1.0.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`); CloudEvents HTTP binding, batch
 *   mode; OTLP/HTTP
 */
import { createHmac } from "node:crypto";
import { type ExportSource, formatExport } from "@trustwarden/core/agentledger/export.ts";
import type { WebhookSettings } from "./config.ts";
import { type PostTls, post } from "./post.ts";
import type { Delivery } from "./sink.ts";

const CONTENT_TYPES = {
  jsonl: "application/x-ndjson",
  ocsf: "application/x-ndjson",
  cloudevents: "application/cloudevents-batch+json",
  otel: "application/json",
} as const;

export interface WebhookOptions {
  readonly settings: WebhookSettings;
  readonly source: ExportSource;
  /** Key of the signature; null to send none. */
  readonly secret: Uint8Array | null;
  readonly tls: PostTls;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

/** Returns when the endpoint answered with 2xx. @throws TrustWardenError `sink_refused`; what a connection fails with. */
export function postDelivery(
  { settings, source, secret, tls, nowMs }: WebhookOptions,
  { id, events }: Delivery,
  signal: AbortSignal,
): Promise<void> {
  const text = formatExport(
    settings.format,
    events.map(({ event }) => event),
    source,
  );
  const body = settings.format === "cloudevents" ? `[${text.trimEnd().replaceAll("\n", ",")}]` : text;
  const timestamp = String(Math.floor(nowMs() / 1000));
  const headers = {
    "content-type": CONTENT_TYPES[settings.format],
    "user-agent": `trustwarden/${source.version}`,
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    ...(secret === null ? {} : { "webhook-signature": signatureOf(secret, `${id}.${timestamp}.${body}`) }),
  };
  const { url, timeoutMs } = settings;
  return post(
    { url, timeoutMs, tls, signal },
    { headers, body, isTaken: (status) => status >= 200 && status < 300 },
  );
}

function signatureOf(secret: Uint8Array, signed: string): string {
  return `v1,${createHmac("sha256", secret).update(signed).digest("base64")}`;
}
