/**
 * Stopping, as commands ask for it: over the lane of its own where the server is remote, with the instant of the call.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { leasesAnswer, type RevocationAnswer, revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import type { Client } from "./client.ts";
import type { Io } from "./io.ts";

export interface RevocationTarget {
  readonly kind: "instance" | "agent" | "owner" | "job" | "key" | "policy" | "everything";
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

/** A stop that takes longer than most shows how far it is. */
const FIRST_LOOK_MS = 150;
const LOOK_EVERY_MS = 200;

/** Returns when no verifier allows the target any more. */
export async function revoke(
  client: Client,
  { target, reason, io }: { readonly target: RevocationTarget; readonly reason: string; readonly io: Io },
): Promise<Stopped> {
  const body = { target: { ...target }, reason };
  const calledAtMs = io.nowMs();
  const asked = client.post({ target: "/v1/revocations", body, schema: revocationAnswer, lane: "stop" });
  let isOver = false;
  const progress = showProgress({ client, io, isOver: () => isOver });
  try {
    const answer = await asked;
    return { answer, calledAtMs, answeredAtMs: io.nowMs() };
  } finally {
    isOver = true;
    await progress;
  }
}

/** Lines on standard error while leases are waited for. Only an operator may see them; an owner sees the end. */
async function showProgress({
  client,
  io,
  isOver,
}: {
  readonly client: Client;
  readonly io: Io;
  readonly isOver: () => boolean;
}): Promise<void> {
  try {
    await sleep(FIRST_LOOK_MS);
    while (!isOver()) {
      const { changes } = await client.get("/v1/leases", leasesAnswer);
      const change = changes.at(-1);
      if (change !== undefined && !isOver()) io.stderr(`${formatProgress(change)}\n`);
      await sleep(LOOK_EVERY_MS);
    }
  } catch {
    // Safe: nothing but the picture is lost, and the answer to the stop itself says what counts.
  }
}

function formatProgress(change: {
  readonly epoch: number;
  readonly acked: number;
  readonly expired: number;
  readonly left: number;
  readonly left_behind_relays: number;
}): string {
  const { epoch, acked, expired, left, left_behind_relays: behind } = change;
  const relays = behind === 0 ? "" : `, ${behind} more behind relays`;
  return `epoch ${epoch}: ${acked} acknowledged, ${expired} ran out, ${left} left${relays}`;
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
    ...formatBehind(answer),
    `Everybody else goes on. Recorded as event ${answer.event_id}.`,
  ];
}

function formatBehind({ behind_relays: { acked, expired } }: RevocationAnswer): readonly string[] {
  if (acked + expired === 0) return [];
  return [`Behind relays, as they say: ${acked} acknowledged; ${expired} ran out.`];
}

/** The `--json` form. */
export function stoppedJson({ answer, calledAtMs, answeredAtMs }: Stopped): {
  readonly called_at_ms: number;
  readonly answered_at_ms: number;
} & RevocationAnswer {
  return { ...answer, called_at_ms: calledAtMs, answered_at_ms: answeredAtMs };
}
