/**
 * Tends what a state store elsewhere leaves behind when its database was away: commands that were answered as failed and
 * turned out to be committed still owe the ledger their events, and the verifiers their epoch.
 */
import type { Feed } from "./feed/feed.ts";
import type { EventLog } from "./http/services.ts";
import type { Ledger } from "./ledger/ledger.ts";
import type { SqliteStore } from "./store/sqlite.ts";
import type { StateLink } from "./store/writer-protocol.ts";

interface LinkParts {
  readonly store: Pick<SqliteStore, "reads" | "watchLink">;
  readonly ledger: Pick<Ledger, "settle">;
  readonly feed: Pick<Feed, "publish">;
  readonly log: EventLog;
}

/** From now on the log says when the database goes and comes, and what it left is brought in. */
export function tendStateLink(parts: LinkParts): void {
  const { store, log } = parts;
  let epochBefore = store.reads.epoch();
  store.watchLink((link) => {
    if (!link.isLinked) {
      epochBefore = store.reads.epoch();
      log.warn(
        { code: "store_unavailable" },
        "the state database is away: stops and checks go on, nothing is issued",
      );
      return;
    }
    log.info({ orphans: link.orphans.length }, "the state database is back");
    bringIn(parts, link, epochBefore).catch(() =>
      log.error(
        { code: "store_unavailable" },
        "what the database had in doubt is recorded at the next start",
      ),
    );
  });
}

async function bringIn(
  { store, ledger, feed }: LinkParts,
  { orphans }: Pick<StateLink, "orphans">,
  epochBefore: number,
): Promise<void> {
  if (orphans.length === 0) return;
  // Who was stopped first; what is recorded may take as long as it takes.
  const targets = store.reads.targetsSince(epochBefore);
  if (targets.length > 0) await feed.publish(targets, store.reads.epoch());
  for (const { outboxId, entries } of store.reads.pendingEntries()) {
    if (orphans.includes(outboxId)) await ledger.settle({ outboxId, entries, eventId: "" });
  }
}
