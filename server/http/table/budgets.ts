/** Rows about budgets. */
import { budgetAnswer, budgetList, budgetQuery, budgetRequest } from "@trustwarden/core/api/budget.ts";
import { budgetSubjectOf, listBudgets, setBudget } from "../acts/budgets.ts";
import { relationOf } from "../relation.ts";
import { ADMIN_ONLY, defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const BUDGETS_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/budgets",
    listeners: ADMIN_ONLY,
    summary: "Set what an owner, an agent or an instance may use",
    access: ["operator"],
    recording: "with_state",
    body: budgetRequest,
    answer: budgetAnswer,
    action: () => "update:budget",
    subject: () => "none",
    act: setBudget,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/budgets",
    listeners: MAIN_AND_ADMIN,
    summary: "What an owner, an agent or an instance may use, and has used",
    access: ["owner", "operator"],
    recording: "single",
    query: budgetQuery,
    answer: budgetList,
    // Part of what an owner may know of its agents.
    action: () => "read:agents",
    subject: ({ reads }, { caller, query }) =>
      relationOf(reads, caller.principal, budgetSubjectOf(query.subject)),
    act: listBudgets,
  }),
];
