/**
 * `warden budget`: how many calls, tokens and how much money an owner, an agent or an instance may use, with all below it.
 */
import { type BudgetList, budgetAnswer, budgetList } from "@trustwarden/core/api/budget.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Command, InvalidArgumentError, Option } from "commander";
import { findAgent } from "../agents.ts";
import { formatTarget } from "../client.ts";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { formatTable, printable } from "../output.ts";

const MAX_COUNT = 999_999_999_999_999;
const MICRO = 1_000_000;

interface Limits {
  readonly calls?: number;
  readonly tokens?: number;
  /** Micro-USD. */
  readonly usd?: number;
}

interface SetOptions extends Limits {
  readonly per: "lifetime" | "day" | "hour";
  readonly remove?: boolean;
}

export function addBudgetCommands(program: Command, runtime: Runtime): void {
  const budget = program
    .command("budget")
    .description("how many calls, tokens and how much money an agent may use")
    .addHelpText("after", examples("warden budget show researcher"));
  budget
    .command("set")
    .description(
      "limit an owner, an agent or an instance, with all below it; what is not named is not limited",
    )
    .argument("<subject>", "an agent's name, agt_…, inst-… or own_…")
    .addOption(
      new Option("--per <window>", "the last hour, the last day, or for good")
        .choices(["lifetime", "day", "hour"])
        .default("lifetime"),
    )
    .option("--calls <n>", "calls through the gateway", wholeNumber(0, MAX_COUNT))
    .option("--tokens <n>", "tokens, read and written", wholeNumber(0, MAX_COUNT))
    .option("--usd <amount>", "money, such as 2.50", parseUsd)
    .option("--remove", "take the budget away")
    .addHelpText(
      "after",
      examples(
        "warden budget set researcher --per day --usd 2.50 --calls 1000",
        "warden budget set agt_01J… --per hour --tokens 200000",
        "warden budget set researcher --per day --remove",
      ),
    )
    .action((subject: string, options: SetOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The budget of ${printable(subject)} was not changed.`,
        run: (session) => setBudget(session, subject, options),
      }),
    );
  budget
    .command("show")
    .description("what it may use, and has used")
    .argument("<subject>", "an agent's name, agt_…, inst-… or own_…")
    .addHelpText("after", examples("warden budget show researcher", "warden budget show own_01J… --json"))
    .action((subject: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The budget of ${printable(subject)} could not be shown.`,
        run: (session) => showBudget(session, subject),
      }),
    );
}

async function setBudget({ client, output }: Session, text: string, options: SetOptions): Promise<void> {
  const { per, calls = null, tokens = null, usd = null, remove = false } = options;
  const isNothing = calls === null && tokens === null && usd === null;
  if (isNothing !== remove)
    throw new TrustWardenError("usage", {
      why: "a budget is one of --calls, --tokens and --usd or more, and --remove stands alone",
      next: "Give a limit, or --remove to take the budget away.",
    });
  const subject = await findSubject(client, text);
  const answer = await client.post({
    target: "/v1/budgets",
    body: { subject, window: per, limits: { calls, tokens, micro_usd: usd } },
    schema: budgetAnswer,
  });
  output.show(answer, [
    remove ? `${subject} has no budget for ${wordsFor(per)} any more.` : `The budget of ${subject} is set.`,
  ]);
}

async function showBudget({ client, output }: Session, text: string): Promise<void> {
  const subject = await findSubject(client, text);
  const list = await client.get(formatTarget("/v1/budgets", { subject }), budgetList);
  output.show(list, formatBudgets(list, `${subject} has no budget of its own.`));
}

async function findSubject(client: Session["client"], text: string): Promise<string> {
  if (/^own_/.test(text)) return text;
  const { agent, instance } = await findAgent(client, text);
  return instance?.instance_id ?? agent.agent_id;
}

function formatBudgets({ budgets }: BudgetList, none: string): readonly string[] {
  const rows = budgets.map(({ window, limits, used }) => [
    wordsFor(window),
    formatUse(used.calls, limits.calls),
    formatUse(used.tokens, limits.tokens),
    formatUse(used.micro_usd / MICRO, limits.micro_usd === null ? null : limits.micro_usd / MICRO),
  ]);
  return formatTable(["WINDOW", "CALLS", "TOKENS", "USD"], rows, none);
}

function formatUse(used: number, limit: number | null): string {
  return limit === null ? "-" : `${used} of ${limit}`;
}

function wordsFor(window: SetOptions["per"]): string {
  return window === "lifetime" ? "its lifetime" : `the last ${window}`;
}

/** An amount in dollars with at most six decimals, as micro-USD; no binary fraction is ever made of it. */
function parseUsd(text: string): number {
  const match = /^(\d{1,9})(?:\.(\d{1,6}))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("an amount such as 2.50 is expected.");
  const [, whole = "0", part = ""] = match;
  return Number(whole) * MICRO + Number(part.padEnd(6, "0"));
}
