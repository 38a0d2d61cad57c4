/** One question that the built-in policy allows: an agent reads what its scope covers. */
import { NO_CONTEXT } from "@trustwarden/core/agentscope/decide.ts";
import { parsePolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";

/** As an engine is asked it. */
export const readingInput = parsePolicyInput({
  action: { name: "read:transactions:2026", verb: "read", type: "transactions", path: "2026" },
  resource: "postgres://finance-db/transactions",
  class: "C",
  plane: "data",
  subject: "none",
  enforcement: "service",
  principal: {
    kind: "agent",
    id: "spiffe://acme.test/finance/payment-agent/inst-1",
    class_id: "spiffe://acme.test/finance/payment-agent",
    owner_id: "own_1",
    custody: "agent",
    roles: [],
  },
  agent: { attested: { type: "none", strength: "none", selectors: [] }, composition_sha256: "" },
  chain: ["agt_1"],
  scope: { covered: true, links: 1 },
  view: { fresh: true, epoch: 7 },
  ...NO_CONTEXT,
});
