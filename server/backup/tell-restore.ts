/** The first thing that a restored server records is how it was restored, and by which account of the host. */
import type { Services } from "../http/services.ts";

/** Does nothing on a server that no restore made, and after the first start of one. @throws TrustWardenError `store_unavailable`. */
export async function tellRestore({
  reads,
  commands,
  ledger,
  clock,
}: Pick<Services, "reads" | "commands" | "ledger" | "clock">): Promise<void> {
  const restore = reads.restore();
  if (restore === undefined || restore.isTold) return;
  const context = { nowMs: clock.nowMs(), principal: "operator", peer: restore.restoredBy, intent: null };
  const told = await commands.changePeople({ change: "restore", restore: { change: "tell" }, context });
  await ledger.settle(told);
}
