/**
 * The payment agent: reads and writes real rows, tries to delete one, and later works in a tight loop until somebody
 * stops it. It does not co-operate with being stopped; it goes on asking.
 */
import { createChildAgent } from "./child-agent.ts";
import { play } from "./conversation.ts";
import { call, idIn, readRows } from "./finance-client.ts";

/** The loop ends after this many refusals in a row; they cannot be told from an outage one by one. */
const REFUSALS_TO_GIVE_UP = 25;

const child = createChildAgent("payment-agent", ["read:transactions", "write:transactions", "write:ledger"]);

play({
  ...child.skills,
  read: async ({ url }) => readRows(child.identity(), String(url)),
  write: async ({ url }) => {
    const agent = child.identity();
    const body = { account: "supplier", amountCents: -42_000, memo: "invoice 7781" };
    const row = await call(agent, `${url}/transactions`, { method: "POST", body });
    const transactionId = idIn(row);
    const entry = await call(agent, `${url}/journal`, {
      method: "POST",
      body: { transactionId, text: "paid" },
    });
    return { status: row.status, journal_status: entry.status, row: transactionId, event_id: row.event_id };
  },
  erase: async ({ url, row }) => {
    const { status, event_id } = await call(child.identity(), `${url}/transactions/${row}`, {
      method: "DELETE",
    });
    return { status, event_id };
  },
  loop: async ({ url }) => loop(String(url)),
});

/** Writes as fast as it can; returns when it has been refused again and again. */
async function loop(url: string): Promise<{ readonly allowed: number; readonly refused: number }> {
  const agent = child.identity();
  let allowed = 0;
  let refused = 0;
  while (refused < REFUSALS_TO_GIVE_UP) {
    const body = { account: "loop", amountCents: -1, memo: `${allowed}` };
    const isAllowed = await call(agent, `${url}/transactions`, { method: "POST", body }).then(
      ({ status }) => status === 201,
      // A refusal may also come as an error of the SDK, such as an ended identity.
      () => false,
    );
    if (isAllowed) allowed += 1;
    refused = isAllowed ? 0 : refused + 1;
  }
  return { allowed, refused };
}
