/**
 * Pushes security event tokens to a receiver, one a request, in order, each until it is taken.
 *
 * The receiver is the operator's, named in the settings; redirects are not followed.
 *
 * @see RFC 8935
 */
import { request } from "node:https";
import type { StreamedEvent } from "@trustwarden/core/agentledger/event-stream.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ControlRecord } from "@trustwarden/core/event.ts";
import type { SsfSettings } from "../sinks/config.ts";
import { issueSecurityEventToken, type SetParties, securityEventsOf } from "./security-event.ts";

/** Accepted, and nothing else is (RFC 8935 §2.2). */
const ACCEPTED = 202;

export interface PushOptions {
  readonly settings: SsfSettings;
  readonly parties: SetParties;
  /** The control record at an index; undefined for a record of another kind. */
  readonly readControl: (index: number) => Promise<ControlRecord | undefined>;
  /** PEM. */
  readonly tls: { readonly ca?: string; readonly key?: string; readonly cert?: string };
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

/** Returns when the receiver has taken every event. @throws TrustWardenError `sink_refused`; what a connection fails with. */
export async function pushSecurityEvents(
  options: PushOptions,
  events: readonly StreamedEvent[],
  signal: AbortSignal,
): Promise<void> {
  const { settings, parties, readControl, nowMs } = options;
  const wanted = events.filter(({ event }) => event.kind === "revoke" || event.kind === "narrow");
  for (const { index } of wanted) {
    const record = await readControl(index);
    if (record === undefined) continue;
    for (const event of securityEventsOf(record, parties.issuer)) {
      if (!settings.events.includes(event.type)) continue;
      const token = issueSecurityEventToken(event, parties, Math.floor(nowMs() / 1000));
      await post(options, token, signal);
    }
  }
}

function post({ settings, tls }: PushOptions, token: string, signal: AbortSignal): Promise<void> {
  const headers = {
    "content-type": "application/secevent+jwt",
    accept: "application/json",
    "content-length": Buffer.byteLength(token),
  };
  const limit = AbortSignal.any([signal, AbortSignal.timeout(settings.timeoutMs)]);
  return new Promise((resolve, reject) => {
    const sent = request(settings.url, { method: "POST", headers, agent: false, signal: limit, ...tls });
    sent.on("error", reject);
    sent.on("response", (answer) => {
      const { statusCode: status = 0 } = answer;
      // What it says of an error is nobody's business here; it is let go, with the connection.
      answer.destroy();
      if (status === ACCEPTED) resolve();
      else reject(new TrustWardenError("sink_refused", { reason: `status ${status}` }));
    });
    sent.end(token);
  });
}
