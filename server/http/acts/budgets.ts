/** Budgets: set by operators, shown to operators and to the owners whom they concern. */
import type { BudgetAnswer, BudgetList, BudgetQuery, BudgetRequest } from "@trustwarden/core/api/budget.ts";
import type { Amount, BudgetLimits } from "@trustwarden/core/gateway/budget.ts";
import type { BudgetSubject } from "../../store/budget-ports.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** @throws TrustWardenError `not_found`, `quota_exceeded`. */
export async function setBudget(services: Services, visit: Visit<BudgetRequest>): Promise<BudgetAnswer> {
  const { window } = visit.body;
  const { calls, tokens, micro_usd: microUsd } = visit.body.limits;
  const subject = budgetSubjectOf(visit.body.subject);
  const context = contextOf(services, visit);
  const limits = { calls, tokens, microUsd };
  const committed = await services.commands.setBudget({ context, subject, window, limits });
  services.budgets.apply(committed.value);
  await services.ledger.settle(committed);
  return { subject: subject.id, window, limits: formatLimits(limits), event_id: committed.eventId };
}

/** Those of the subject alone; the use of each includes all below it. */
export async function listBudgets(
  { budgets }: Services,
  { query }: Visit<unknown, BudgetQuery>,
): Promise<BudgetList> {
  const found = budgets.list(query.subject).map(({ subjectId, window, limits, used }) => ({
    subject: subjectId,
    window,
    limits: formatLimits(limits),
    used: formatAmount(used),
  }));
  return { budgets: found };
}

/** What an id stands for; the request's schema has checked its spelling. */
export function budgetSubjectOf(id: string): BudgetSubject {
  if (id.startsWith("own_")) return { kind: "owner", id };
  return { kind: id.startsWith("agt_") ? "agent" : "instance", id };
}

function formatLimits({ calls, tokens, microUsd }: BudgetLimits) {
  return { calls, tokens, micro_usd: microUsd };
}

function formatAmount({ calls, tokens, microUsd }: Amount) {
  return { calls, tokens, micro_usd: microUsd };
}
