/** Puts the budgets on the store: of a server alone, or of one of several that share it. */
import type { Services } from "../http/services.ts";
import type { Parts } from "../parts.ts";
import { Budgets } from "./budgets.ts";

/** How often it is looked for what servers held that are no more, and what is kept of agents that have ended. */
const FOLD_EVERY_MS = 600_000;

/** Budgets and their use as they were saved last. */
export function createBudgets({
  store,
  clock,
  log,
  sharing,
}: Pick<Parts, "store" | "clock" | "log"> & Pick<Services, "sharing">): Budgets {
  const { commands, reads } = store;
  const shared = { server: sharing.name, share: commands.shareBudgetUse };
  return new Budgets({
    reads,
    save: (rows) => commands.saveBudgetUse(rows),
    ...(sharing.isShared && { shared }),
    now: () => Math.floor(clock.nowMs() / 1000),
    onError: () => log.warn({ code: "store_unavailable" }, "what was used of a budget could not be saved"),
  });
}

/** A server that has its store alone finds all that others used of it in its own row. @throws TrustWardenError `store_unavailable`. */
export async function takeOverBudgets({
  store,
  clock,
  shared,
}: Pick<Parts, "store" | "clock" | "shared">): Promise<void> {
  if (shared !== null || store.reads.listBudgetShares().length === 0) return;
  await store.commands.foldBudgetShares({ servers: [], now: Math.floor(clock.nowMs() / 1000) });
}

/** What servers held that are no more is counted as used by whoever has the seat: nobody knows what of it they spent. */
export async function tendBudgets({
  store,
  clock,
  log,
  shared,
  sharing,
}: Pick<Parts, "store" | "clock" | "log" | "shared"> & Pick<Services, "sharing">): Promise<void> {
  const fold = (): Promise<void> => {
    const servers = [sharing.name, ...sharing.others()];
    return store.commands.foldBudgetShares({ servers, now: Math.floor(clock.nowMs() / 1000) });
  };
  const onFailure = (): void =>
    log.warn({ code: "store_unavailable" }, "what servers held of budgets could not be looked through");
  await shared?.duties.add(async () => {
    const timer = setInterval(() => void fold().catch(onFailure), FOLD_EVERY_MS).unref();
    return async () => clearInterval(timer);
  });
}
