/**
 * The context of a trace as it travels: who continues whose trace.
 *
 * A caller's header only names a trace: it proves nothing, decides nothing, and does not make this server trace more.
 *
 * @see W3C Trace Context Level 1 §3.2; `tracestate` is of vendors, and neither read nor sent
 */

import { encodeHex } from "@trustwarden/core/bytes.ts";
import type { Random } from "@trustwarden/core/id.ts";

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
const SAMPLED = 1;

/** Hex, as it is sent. */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** The caller's context; undefined for none, for another version and for what is malformed: then a trace begins here. */
export function parseTraceparent(header: string | readonly string[] | undefined): TraceContext | undefined {
  if (typeof header !== "string") return undefined;
  const [, traceId, spanId, flags] = TRACEPARENT.exec(header) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED };
}

export function formatTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}

export function createTraceId(random: Random): string {
  return encodeHex(random(16));
}

export function createSpanId(random: Random): string {
  return encodeHex(random(8));
}
