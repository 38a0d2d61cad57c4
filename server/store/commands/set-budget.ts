/**
 * Sets what an owner, an agent or an instance may use, and saves what was used.
 *
 * A budget that is raised or lowered keeps its use; one that is removed forgets it.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type BudgetLimits, isUnlimited } from "@trustwarden/core/gateway/budget.ts";
import type {
  BudgetState,
  BudgetSubject,
  BudgetUseRow,
  FoldBudgetShares,
  SetBudgetCommand,
  ShareBudgetUse,
} from "../budget-ports.ts";
import { listBudgets } from "../budget-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine, lineOf } from "../sqlite-instance.ts";
import { type CommandResult, secondsOf } from "./deps.ts";
import { foldBudgetShares, forgetUse, shareBudgetUse } from "./share-budget.ts";

/** All are held in memory. */
const MAX_BUDGETS = 100_000;

const PUT = `
  INSERT INTO budgets (subject_id, window, kind, calls, tokens, micro_usd, set_at) VALUES (?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (subject_id, window) DO UPDATE SET calls = excluded.calls, tokens = excluded.tokens,
    micro_usd = excluded.micro_usd, set_at = excluded.set_at`;
const REMOVE = "DELETE FROM budgets WHERE subject_id = ? AND window = ?";
const COUNT = "SELECT COUNT(*) AS count FROM budgets";
const FORGET = "DELETE FROM budget_use WHERE subject_id = ? AND window = ?";
const SAVE = `
  INSERT INTO budget_use (subject_id, window, buckets) VALUES (?, ?, ?)
  ON CONFLICT (subject_id, window) DO UPDATE SET buckets = excluded.buckets`;
const FIND_OWNER = "SELECT owner_id FROM owners WHERE owner_id = ?";
const FIND_AGENT = "SELECT owner_id FROM agents WHERE agent_id = ?";

/** @throws TrustWardenError as `BudgetCommands.setBudget`. */
export function setBudget(database: SqliteDatabase, command: SetBudgetCommand): CommandResult<BudgetState> {
  const { subject, window, limits } = command;
  const chain = requireSubject(database, subject);
  const before = listBudgets(database).find(
    (budget) => budget.subject.id === subject.id && budget.window === window,
  );
  const setAt = secondsOf(command.context);
  if (isUnlimited(limits)) {
    database.run(REMOVE, subject.id, window);
    forgetUse(database, subject.id, window);
  } else {
    if (before === undefined) requireRoom(database);
    const { calls, tokens, microUsd } = limits;
    database.run(PUT, subject.id, window, subject.kind, calls, tokens, microUsd, setAt);
  }
  return {
    value: { subject, window, limits, setAt },
    draft: {
      kind: "budget",
      allow: true,
      reasons: [],
      subject: subject.kind === "owner" ? `owner:${subject.id}` : subject.id,
      chain,
      details: {
        window,
        limits: formatLimits(limits),
        previous: before === undefined ? null : formatLimits(before.limits),
      },
    },
  };
}

/** Overwrites what is known of each use: of a server alone, or of one of several, which hears what it holds. */
export function saveBudgetUse(
  database: SqliteDatabase,
  rows: readonly BudgetUseRow[] | ShareBudgetUse | FoldBudgetShares,
): ReturnType<typeof shareBudgetUse> | null {
  if ("server" in rows) return shareBudgetUse(database, rows);
  if ("servers" in rows) return foldBudgetShares(database, rows);
  for (const { subjectId, window, buckets } of rows) {
    if (buckets === null) database.run(FORGET, subjectId, window);
    else database.run(SAVE, subjectId, window, buckets);
  }
  return null;
}

/** @returns the chain that the subject's event carries. */
function requireSubject(database: SqliteDatabase, { kind, id }: BudgetSubject): readonly string[] {
  switch (kind) {
    case "owner":
      if (database.get(FIND_OWNER, id) === undefined) throw new TrustWardenError("not_found", { kind });
      return [`owner:${id}`];
    case "agent": {
      const owner = database.get(FIND_AGENT, id)?.text("owner_id");
      if (owner === undefined) throw new TrustWardenError("not_found", { kind });
      return [`owner:${owner}`, id];
    }
    case "instance": {
      const line = lineOf(database, id);
      if (line.at(-1)?.kind !== "agent") throw new TrustWardenError("not_found", { kind });
      return formatLine(line);
    }
  }
}

function requireRoom(database: SqliteDatabase): void {
  const count = database.get(COUNT)?.integer("count") ?? 0;
  if (count >= MAX_BUDGETS) throw new TrustWardenError("quota_exceeded", { limit: MAX_BUDGETS });
}

function formatLimits({ calls, tokens, microUsd }: BudgetLimits) {
  return { calls, tokens, micro_usd: microUsd };
}
