/** Puts the budgets on the store. */
import type { Parts } from "../parts.ts";
import { Budgets } from "./budgets.ts";

/** Budgets and their use as they were saved last. */
export function createBudgets({ store, clock, log }: Pick<Parts, "store" | "clock" | "log">): Budgets {
  return new Budgets({
    reads: store.reads,
    save: (rows) => store.commands.saveBudgetUse(rows),
    now: () => Math.floor(clock.nowMs() / 1000),
    onError: () => log.warn({ code: "store_unavailable" }, "what was used of a budget could not be saved"),
  });
}
