/**
 * Sends spans to a collector: OTLP over HTTP, JSON, in batches. What the collector does not take is dropped and said once a
 * minute: a trace is no record, and nothing waits for it.
 *
 * @see OpenTelemetry Protocol 1.x, OTLP/HTTP, JSON Protobuf encoding (ids are hex there)
 */
import type { EventLog } from "../http/services.ts";
import { post } from "../sinks/post.ts";
import type { TracesSettings } from "./config.ts";

const EVERY_MS = 1_000;
const MAX_BATCH = 512;
/** Waiting for a collector that is slow. */
const MAX_QUEUED = 8_192;
const SAY_EVERY_MS = 60_000;
const KINDS = { internal: 1, server: 2 } as const;
const STATUS_ERROR = 2;
const NANOS_PER_MS = 1_000_000;
const DROPPED = "spans were dropped: the trace collector does not take them";

/** One span; times are Unix milliseconds. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: keyof typeof KINDS;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string>>;
  readonly isFailed: boolean;
}

interface ExporterOptions {
  readonly settings: TracesSettings;
  /** PEM; the system's authorities without it. */
  readonly ca: string | undefined;
  readonly version: string;
  readonly monoMs: () => number;
  readonly log: Pick<EventLog, "warn">;
}

/** Owns the queue, the timer and at most one request. */
export class SpanExporter {
  readonly #options: ExporterOptions;
  readonly #timer: NodeJS.Timeout;
  #queue: Span[] = [];
  #dropped = 0;
  #saidMs = Number.NEGATIVE_INFINITY;
  #sending: Promise<void> | undefined;

  constructor(options: ExporterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#flushSoon(), EVERY_MS).unref();
  }

  /** Never waits and never throws. */
  add(spans: readonly Span[]): void {
    const room = Math.max(0, MAX_QUEUED - this.#queue.length);
    this.#queue.push(...spans.slice(0, room));
    this.#dropped += Math.max(0, spans.length - room);
    if (this.#queue.length >= MAX_BATCH) this.#flushSoon();
  }

  /** Sends what is left, if the collector takes it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sending;
    if (this.#queue.length > 0) await this.#flush();
  }

  #flushSoon(): void {
    if (this.#sending !== undefined || (this.#queue.length === 0 && this.#dropped === 0)) return;
    this.#sending = this.#flush().finally(() => {
      this.#sending = undefined;
    });
  }

  async #flush(): Promise<void> {
    const { log, monoMs, version } = this.#options;
    const batch = this.#queue.slice(0, MAX_BATCH);
    this.#queue = this.#queue.slice(MAX_BATCH);
    try {
      if (batch.length > 0) await this.#post(formatSpans(batch, version));
    } catch {
      // Safe to go on: the request that was traced has its record in the ledger.
      this.#dropped += batch.length;
    }
    if (this.#dropped === 0 || monoMs() - this.#saidMs < SAY_EVERY_MS) return;
    log.warn({ code: "sink_refused", dropped: this.#dropped }, DROPPED);
    this.#dropped = 0;
    this.#saidMs = monoMs();
  }

  /** Redirects are not followed. @throws TrustWardenError `sink_refused`; what a connection fails with. */
  #post(body: string): Promise<void> {
    const { settings, ca } = this.#options;
    return post(
      { ...settings, tls: ca === undefined ? {} : { ca } },
      {
        headers: { "content-type": "application/json" },
        body,
        isTaken: (status) => status >= 200 && status < 300,
      },
    );
  }
}

/** An export request with these spans. */
function formatSpans(spans: readonly Span[], version: string): string {
  const resource = {
    attributes: attributesOf({ "service.name": "trustwarden", "service.version": version }),
  };
  const scope = { name: "trustwarden.path", version };
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope, spans: spans.map(spanOf) }] }] });
}

function spanOf(span: Span): object {
  const { traceId, spanId, parentSpanId, name, kind, startMs, endMs, attributes, isFailed } = span;
  return {
    traceId,
    spanId,
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanosOf(startMs),
    endTimeUnixNano: nanosOf(Math.max(startMs, endMs)),
    attributes: attributesOf(attributes),
    ...(isFailed ? { status: { code: STATUS_ERROR } } : {}),
  };
}

function attributesOf(values: Readonly<Record<string, string>>): readonly object[] {
  return Object.entries(values).map(([key, value]) => ({ key, value: { stringValue: value } }));
}

/** Whole milliseconds are exact; what is below them goes in nanoseconds. */
function nanosOf(unixMs: number): string {
  const whole = Math.floor(unixMs);
  return String(BigInt(whole) * BigInt(NANOS_PER_MS) + BigInt(Math.floor((unixMs - whole) * NANOS_PER_MS)));
}
