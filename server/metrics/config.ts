/** The listener that figures are read from: off unless it is set. */

import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { isLoopback } from "../loopback.ts";

const path = z.string().min(1).max(4096);

/** `metrics` of `server.json`. */
export const metricsSettings = z.strictObject({
  host: z.string().min(1).max(255).default("127.0.0.1"),
  port: z.coerce.number().int().min(0).max(65_535).default(9464),
  /** Needed beyond this machine: TLS 1.3, and whoever reads proves itself by a certificate of these authorities. */
  tls: z.strictObject({ certFile: path, keyFile: path, clientCaFile: path }).optional(),
});

export type MetricsSettings = z.output<typeof metricsSettings>;

/** Figures tell who is busy with what: beyond this machine only who is let in reads them. @throws TrustWardenError `bind_refused`. */
export function requireProtectedMetrics(settings: MetricsSettings | undefined): void {
  if (settings === undefined || settings.tls !== undefined || isLoopback(settings.host)) return;
  throw new TrustWardenError("bind_refused", { host: settings.host, reason: "metrics without TLS" });
}
