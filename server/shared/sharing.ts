/**
 * What a server owes the others that share its store: what counts once is claimed for all of them, what was written
 * elsewhere is read before somebody is turned away, and cut off from the store nothing is answered.
 *
 * @see docs/decisions/0064
 */
import { setTimeout } from "node:timers/promises";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { OWN_USES, type Uses } from "./uses.ts";

/** A busy machine, or a lost segment: whoever waits so long is better served than refused. */
const LATE_MS = 5000;
const LOOK_MS = 10;
/** Another server may have made it a moment ago. */
const UNKNOWN: readonly ErrorCode[] = ["instance_unknown", "owner_unknown", "foreign_agent_unknown"];

/** One of several servers; or one that has its store alone. */
export interface Sharing {
  /** Whether other servers write the same store. */
  readonly isShared: boolean;
  /** Of this process among them; empty when it has its store alone. */
  readonly name: string;
  /** Names of the others of which the store has heard within a day. */
  others(): readonly string[];
  readonly uses: Uses;
  /** Whether this server may say what is current; always, when it has its store alone. */
  isCurrent(): boolean;
  /** For how many milliseconds more it may, unless it hears of the store; endless when it has its store alone. */
  leftMs(): number;
  /** Returns when this server has everything that was committed before. @throws TrustWardenError `store_unavailable`. */
  catchUp(): Promise<void>;
}

/** What a server that has its store alone owes others: nothing. */
export const ALONE: Sharing = {
  isShared: false,
  name: "",
  others: () => [],
  uses: OWN_USES,
  isCurrent: () => true,
  leftMs: () => Number.POSITIVE_INFINITY,
  catchUp: () => Promise.resolve(),
};

/**
 * Returns when this server may say what is current: at once, unless its word with the store is late.
 *
 * @throws TrustWardenError `store_unavailable` when what this server knows may be what others have changed.
 */
export async function requireCurrent({
  sharing,
}: {
  readonly sharing: Pick<Sharing, "isCurrent">;
}): Promise<void> {
  for (const untilMs = performance.now() + LATE_MS; !sharing.isCurrent(); await setTimeout(LOOK_MS)) {
    if (performance.now() < untilMs) continue;
    throw new TrustWardenError("store_unavailable", {
      reason: "cut off from the servers that share the store",
    });
  }
}

/**
 * Returns when this server may say what was current when it was asked: whoever was told of a change by one server may ask
 * another for what it changed, and asks once.
 *
 * @throws TrustWardenError `store_unavailable`.
 */
export async function requireNewest({
  sharing,
}: {
  readonly sharing: Pick<Sharing, "isShared" | "isCurrent" | "catchUp">;
}): Promise<void> {
  await requireCurrent({ sharing });
  if (sharing.isShared) await sharing.catchUp();
}

/**
 * Asks together for all who come while somebody else's asking is under way: that one may have begun before what they want to
 * know of. So a crowd costs the store no more than one way after the other.
 */
export function askTogether(ask: () => Promise<unknown>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const begin = () => {
    next = undefined;
    const asked = ask().then(() => undefined);
    running = asked.finally(() => {
      running = undefined;
    });
    return running;
  };
  return () => {
    if (running === undefined) return begin();
    next ??= running.catch(() => undefined).then(begin);
    return next;
  };
}

/** Asks once more, upon what the others have written, before somebody is refused whom nobody knows here. */
export async function withNewest<T>(
  { sharing }: { readonly sharing: Pick<Sharing, "isShared" | "catchUp"> },
  run: () => T | Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const isUnknown = error instanceof TrustWardenError && UNKNOWN.includes(error.code);
    if (!sharing.isShared || !isUnknown) throw error;
    await sharing.catchUp();
    return await run();
  }
}
