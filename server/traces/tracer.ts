/**
 * One span for each request that walks the path, and one for each of its steps.
 *
 * A span says which row of the table was asked, how long each step took and how it ended; it names no caller, no target and
 * nothing that a caller sent, so that a collector learns no secret and nobody's business. What it may say are codes and
 * words of ours.
 */
import type { Random } from "@trustwarden/core/id.ts";
import type { Span, SpanExporter } from "./span-exporter.ts";
import {
  createSpanId,
  createTraceId,
  formatTraceparent,
  parseTraceparent,
  type TraceContext,
} from "./trace-context.ts";

/** Steps of one request that are kept: a call of many parts has a few dozen. */
const MAX_STEPS = 64;

/** A request as it begins. */
interface Beginning {
  /** The row, never the target. */
  readonly name: string;
  readonly listener: string;
  readonly traceparent: string | readonly string[] | undefined;
}

interface Root {
  readonly context: TraceContext;
  readonly parentSpanId: string | undefined;
  readonly beginning: Beginning;
  readonly startMonoMs: number;
  /** Unix milliseconds. */
  readonly startMs: number;
  readonly steps: Span[];
}

/** What the path is watched with. */
export interface Tracer {
  begin(arrival: object, beginning: Beginning): void;
  /** A step of a request that was begun; of any other it is nothing. Instants are monotonic. */
  step(
    arrival: object,
    step: { readonly name: string; readonly fromMs: number; readonly isFailed: boolean },
  ): void;
  /** @param end - how it ended; `code` of a refusal. */
  end(arrival: object, end: { readonly result: string; readonly code?: string | undefined }): void;
  /** For a request that this one causes elsewhere. */
  headersOf(arrival: object): Readonly<Record<string, string>>;
}

/** Spans for an exporter. */
export class PathTracer implements Tracer {
  readonly #roots = new WeakMap<object, Root>();
  readonly #exporter: Pick<SpanExporter, "add">;
  readonly #sample: number;
  readonly #random: Random;
  readonly #clock: { nowMs(): number; monoMs(): number };

  constructor(options: {
    readonly exporter: Pick<SpanExporter, "add">;
    readonly sample: number;
    readonly random: Random;
    readonly clock: { nowMs(): number; monoMs(): number };
  }) {
    this.#exporter = options.exporter;
    this.#sample = options.sample;
    this.#random = options.random;
    this.#clock = options.clock;
  }

  begin(arrival: object, beginning: Beginning): void {
    const caller = parseTraceparent(beginning.traceparent);
    const [drawn = 0, more = 0] = this.#random(2);
    this.#roots.set(arrival, {
      context: {
        traceId: caller?.traceId ?? createTraceId(this.#random),
        spanId: createSpanId(this.#random),
        // Whoever traces less is followed; nobody has us trace more than the operator wants.
        isSampled: (caller?.isSampled ?? true) && (drawn * 256 + more) / 65_536 < this.#sample,
      },
      parentSpanId: caller?.spanId,
      beginning,
      startMonoMs: this.#clock.monoMs(),
      startMs: this.#clock.nowMs(),
      steps: [],
    });
  }

  step(arrival: object, step: Parameters<Tracer["step"]>[1]): void {
    const root = this.#roots.get(arrival);
    if (root === undefined || !root.context.isSampled || root.steps.length >= MAX_STEPS) return;
    root.steps.push({
      traceId: root.context.traceId,
      spanId: createSpanId(this.#random),
      parentSpanId: root.context.spanId,
      name: step.name,
      kind: "internal",
      startMs: this.#wallOf(root, step.fromMs),
      endMs: this.#wallOf(root, this.#clock.monoMs()),
      attributes: {},
      isFailed: step.isFailed,
    });
  }

  end(arrival: object, { result, code }: Parameters<Tracer["end"]>[1]): void {
    const root = this.#roots.get(arrival);
    if (root === undefined || !this.#roots.delete(arrival) || !root.context.isSampled) return;
    const { context, parentSpanId, beginning, startMs } = root;
    const named = { "http.route": beginning.name, "trustwarden.listener": beginning.listener };
    const ended = {
      "trustwarden.result": result,
      ...(code === undefined ? {} : { "trustwarden.code": code }),
    };
    this.#exporter.add([
      {
        traceId: context.traceId,
        spanId: context.spanId,
        parentSpanId,
        name: beginning.name,
        kind: "server",
        startMs,
        endMs: this.#wallOf(root, this.#clock.monoMs()),
        attributes: { ...named, ...ended },
        isFailed: result === "failed",
      },
      ...root.steps,
    ]);
  }

  headersOf(arrival: object): Readonly<Record<string, string>> {
    const root = this.#roots.get(arrival);
    return root === undefined ? {} : { traceparent: formatTraceparent(root.context) };
  }

  /** Durations are the monotonic clock's, whatever becomes of the other meanwhile. */
  #wallOf({ startMs, startMonoMs }: Root, monoMs: number): number {
    return startMs + (monoMs - startMonoMs);
  }
}
