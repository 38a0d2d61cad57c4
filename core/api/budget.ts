/** HTTP API: budgets of calls, tokens and money. */
import { z } from "zod";
import { BUDGET_WINDOWS } from "../gateway/budget.ts";

/** 1,000 million USD; sums of such numbers stay exact. */
const MAX_LIMIT = 1_000_000_000_000_000;
const limit = z.number().int().min(0).max(MAX_LIMIT).nullable();

const limits = z.strictObject({
  calls: limit,
  tokens: limit,
  micro_usd: limit.describe("millionths of a US dollar"),
});
const subject = z.string().regex(/^(?:own_|agt_|inst-)[0-9A-Z]{26}$/);

/** `POST /v1/budgets` (operator); three nulls remove the budget. */
export const budgetRequest = z.strictObject({
  subject: subject.describe("own_…, agt_… or inst-…; what it uses includes all below it"),
  window: z.enum(BUDGET_WINDOWS),
  limits,
});
export type BudgetRequest = z.infer<typeof budgetRequest>;

export const budgetAnswer = z.object({
  subject: z.string(),
  window: z.enum(BUDGET_WINDOWS),
  limits,
  event_id: z.string(),
});
export type BudgetAnswer = z.infer<typeof budgetAnswer>;

/** Query of `GET /v1/budgets` (operator; an owner for itself and its agents). */
export const budgetQuery = z.strictObject({ subject });
export type BudgetQuery = z.infer<typeof budgetQuery>;

export const budgetList = z.object({
  budgets: z.array(
    z.object({
      subject: z.string(),
      window: z.enum(BUDGET_WINDOWS),
      limits,
      used: z
        .object({ calls: z.number(), tokens: z.number(), micro_usd: z.number() })
        .describe("calls under way count with the most that they may cost"),
    }),
  ),
});
export type BudgetList = z.infer<typeof budgetList>;
