/** What the models of the lease share: lines on their way, and a verifier that tries to act. */
import type { Instant } from "./ports.ts";
import type { RevocationView } from "./view.ts";

/** One direction of a connection: lines in order, each with when it arrives. */
export type Queue = { readonly dueMs: number; readonly line: Uint8Array }[];

/** Takes the lines that have arrived, without their ends. */
export function due(queue: Queue, nowMs: number): string[] {
  const lines: string[] = [];
  while ((queue[0]?.dueMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
    lines.push(new TextDecoder().decode(queue.shift()?.line).trimEnd());
  }
  return lines;
}

/** Whether a view would let an act go on. */
export function isAllowed(
  view: RevocationView,
  act: { epoch: number; ids: string[] },
  now: Instant,
): boolean {
  try {
    view.requireFresh(now);
    view.requireUntouched(act);
    return true;
  } catch {
    return false;
  }
}
