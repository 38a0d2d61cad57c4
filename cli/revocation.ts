/**
 * Stopping, as commands ask for it: over the lane of its own where the server is remote, with the instant of the call.
 */
import { type RevocationAnswer, revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import type { Client } from "./client.ts";
import type { Io } from "./io.ts";

export interface RevocationTarget {
  readonly kind: "instance" | "agent" | "owner";
  readonly id: string;
}

/** The server's answer, and when it was asked for and given on this machine's clock. */
export interface Stopped {
  readonly answer: RevocationAnswer;
  /** Unix milliseconds. */
  readonly calledAtMs: number;
  /** Unix milliseconds. */
  readonly answeredAtMs: number;
}

/** Returns when no verifier allows the target any more. */
export async function revoke(
  client: Client,
  { target, reason, io }: { readonly target: RevocationTarget; readonly reason: string; readonly io: Io },
): Promise<Stopped> {
  const body = { target: { ...target }, reason };
  const calledAtMs = io.nowMs();
  const answer = await client.post({
    target: "/v1/revocations",
    body,
    schema: revocationAnswer,
    lane: "stop",
  });
  return { answer, calledAtMs, answeredAtMs: io.nowMs() };
}

/** What was stopped, how surely and how fast, in sentences. */
export function formatStopped(
  subject: string,
  { answer, calledAtMs, answeredAtMs }: Stopped,
): readonly string[] {
  return [
    `Stopped ${subject}: ${answer.instances} live instance(s) died, with everything below them.`,
    `No verifier allows it after ${answer.stopped_by}; epoch ${answer.epoch}, ${answeredAtMs - calledAtMs} ms from call to certainty.`,
    `${answer.acked} verifier(s) acknowledged; ${answer.expired} had no live connection, and their leases have run out.`,
    `Everybody else goes on. Recorded as event ${answer.event_id}.`,
  ];
}

/** The `--json` form. */
export function stoppedJson({ answer, calledAtMs, answeredAtMs }: Stopped): {
  readonly called_at_ms: number;
  readonly answered_at_ms: number;
} & RevocationAnswer {
  return { ...answer, called_at_ms: calledAtMs, answered_at_ms: answeredAtMs };
}
