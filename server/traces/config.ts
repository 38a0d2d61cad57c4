/** Where spans go: an OTLP collector of the operator's; nowhere unless it is set. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { isLoopback } from "../loopback.ts";

/** No user name or password: they would be in every log of the way. */
const URL_TEXT = /^https?:\/\/[A-Za-z0-9.:[\]-]{1,253}(?:\/[\x21-\x7e]{0,1024})?$/;

/** `traces` of `server.json`. */
export const tracesSettings = z.strictObject({
  /** The whole address, such as `http://127.0.0.1:4318/v1/traces`. */
  url: z.string().regex(URL_TEXT),
  /** PEM of the authorities to believe instead of the system's. */
  caFile: z.string().min(1).max(4096).optional(),
  /** Share of requests that leave spans. */
  sample: z.number().min(0).max(1).default(1),
  timeoutMs: z.number().int().min(100).max(60_000).default(5_000),
});

export type TracesSettings = z.output<typeof tracesSettings>;

/** Spans tell who is busy with what: beyond this machine they go over TLS. @throws TrustWardenError `config_invalid`. */
export function requireProtectedTraces(settings: TracesSettings | undefined): void {
  if (settings === undefined) return;
  const { protocol, hostname } = new URL(settings.url);
  if (protocol === "https:" || isLoopback(hostname)) return;
  throw new TrustWardenError("config_invalid", {
    setting: "traces.url",
    reason: "https beyond this machine",
  });
}
