/**
 * Pushes security event tokens to a receiver, one a request, in order, each until it is taken.
 *
 * The receiver is the operator's, named in the settings.
 *
 * @see RFC 8935
 */
import type { StreamedEvent } from "@trustwarden/core/agentledger/event-stream.ts";
import type { ControlRecord } from "@trustwarden/core/event.ts";
import type { SsfSettings } from "../sinks/config.ts";
import { type PostTls, post } from "../sinks/post.ts";
import { issueSecurityEventToken, type SetParties, securityEventsOf, TOLD_KINDS } from "./security-event.ts";

/** Accepted, and nothing else is (RFC 8935 §2.2). */
const ACCEPTED = 202;
const HEADERS = { "content-type": "application/secevent+jwt", accept: "application/json" } as const;

export interface PushOptions {
  readonly settings: SsfSettings;
  readonly parties: SetParties;
  /** The control record at an index; undefined for a record of another kind. */
  readonly readControl: (index: number) => Promise<ControlRecord | undefined>;
  readonly tls: PostTls;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

/** Returns when the receiver has taken every event. @throws TrustWardenError `sink_refused`; what a connection fails with. */
export async function pushSecurityEvents(
  options: PushOptions,
  events: readonly StreamedEvent[],
  signal: AbortSignal,
): Promise<void> {
  const { settings, parties, readControl, tls, nowMs } = options;
  const { url, timeoutMs } = settings;
  const wanted = events.filter(({ event }) => TOLD_KINDS.includes(event.kind));
  for (const { index } of wanted) {
    const record = await readControl(index);
    if (record === undefined) continue;
    for (const event of securityEventsOf(record, parties.issuer)) {
      if (!settings.events.some((type) => type === event.type)) continue;
      const token = issueSecurityEventToken(event, parties, Math.floor(nowMs() / 1000));
      await post(
        { url, timeoutMs, tls, signal },
        { headers: HEADERS, body: token, isTaken: (status) => status === ACCEPTED },
      );
    }
  }
}
