/** The data fetcher: may read transactions and nothing else; tries to write one too. */
import { createChildAgent } from "./child-agent.ts";
import { play } from "./conversation.ts";
import { call, readRows } from "./finance-client.ts";

const child = createChildAgent("data-fetcher", ["read:transactions"]);

play({
  ...child.skills,
  read: async ({ url }) => readRows(child.identity(), String(url)),
  write: async ({ url }) => {
    const body = { account: "fetcher", amountCents: 1, memo: "not mine to write" };
    const { status, event_id } = await call(child.identity(), `${url}/transactions`, {
      method: "POST",
      body,
    });
    return { status, event_id };
  },
});
