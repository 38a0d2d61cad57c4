/**
 * Syslog over TCP or TLS: RFC 5424 messages, each behind its length, a connection a piece.
 *
 * Syslog has no acknowledgement. What comes closest is that the collector, after we have closed our side, closes its own:
 * it has then read everything. Until it did, the piece counts as not taken.
 *
 * @see RFC 5424; RFC 6587 section 3.4.1 (octet counting); RFC 5425 (TLS)
 */
import { connect as connectTcp, type Socket } from "node:net";
import { hostname } from "node:os";
import { connect as connectTls } from "node:tls";
import type { StreamedEvent } from "@trustwarden/core/agentledger/event-stream.ts";
import { type ExportSource, formatExport } from "@trustwarden/core/agentledger/export.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SyslogSettings } from "./config.ts";
import type { Delivery } from "./sink.ts";

/** Facility 13, "log audit"; severities informational and warning. */
const INFO = 13 * 8 + 6;
const WARNING = 13 * 8 + 4;

export interface SyslogOptions {
  readonly settings: SyslogSettings;
  readonly source: ExportSource;
  /** PEM. */
  readonly tls: { readonly ca?: string; readonly key?: string; readonly cert?: string };
}

/** Returns when the collector has read everything. @throws TrustWardenError `sink_refused`; what a connection fails with. */
export function sendDelivery(
  { settings, source, tls }: SyslogOptions,
  { events }: Delivery,
  signal: AbortSignal,
): Promise<void> {
  const { host, port, timeoutMs } = settings;
  const frames = events.map((event) => formatFrame(event, { format: settings.format, source })).join("");
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  return new Promise((resolve, reject) => {
    const socket: Socket = settings.tls
      ? connectTls({ host, port, ...nameOf(host), ...tls }, () => socket.end(frames))
      : connectTcp({ host, port }, () => socket.end(frames));
    const abort = () => socket.destroy(new TrustWardenError("sink_refused", { reason: "no end in time" }));
    limit.addEventListener("abort", abort, { once: true });
    let hasEnded = false;
    socket.on("end", () => {
      hasEnded = socket.writableFinished;
    });
    socket.on("error", reject);
    socket.on("close", () => {
      limit.removeEventListener("abort", abort);
      if (hasEnded) resolve();
      else reject(new TrustWardenError("sink_refused", { reason: "closed too early" }));
    });
    socket.resume();
  });
}

/** Names are asked for in the handshake, addresses cannot be. */
function nameOf(host: string): { readonly servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

function formatFrame(
  { event }: StreamedEvent,
  { format, source }: { readonly format: SyslogSettings["format"]; readonly source: ExportSource },
): string {
  const isBad = event.outcome === "denied" || event.outcome === "failure";
  const head = `<${isBad ? WARNING : INFO}>1 ${event.timestamp} ${hostname()} trustwarden ${process.pid} ${event.kind} -`;
  const message = `${head} ${asciiOf(formatExport(format, [event], source).trimEnd())}`;
  return `${message.length} ${message}`;
}

/** JSON in ASCII: the length in characters is then that in bytes, and no receiver has to guess an encoding. */
function asciiOf(json: string): string {
  return json.replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
