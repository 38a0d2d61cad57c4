/**
 * A stream whose source runs inside a call of the guard: parts go out as they come, and the guard's call is over when
 * the source is. A reader that leaves early breaks the source off, and the ledger has it as aborted.
 */
import { TrustWardenError } from "trustwarden";

/** @param run - does the guarded work, telling each part to `emit`; `emit` throws `call_aborted` once nobody reads. */
export async function* streamThrough(
  run: (emit: (part: unknown) => void) => Promise<unknown>,
): AsyncGenerator<unknown, void> {
  const parts: unknown[] = [];
  let wake = Promise.withResolvers<void>();
  let isLeft = false;
  let isOver = false;
  const emit = (part: unknown) => {
    if (isLeft) throw new TrustWardenError("call_aborted", { reason: "nobody reads" });
    parts.push(part);
    wake.resolve();
  };
  const done = run(emit).finally(() => {
    isOver = true;
    wake.resolve();
  });
  // Thrown to the reader below; until then nobody waits for it.
  done.catch(() => undefined);
  try {
    while (!isOver || parts.length > 0) {
      if (parts.length === 0) await wake.promise;
      wake = Promise.withResolvers<void>();
      yield* parts.splice(0);
    }
    await done;
  } finally {
    isLeft = true;
  }
}
