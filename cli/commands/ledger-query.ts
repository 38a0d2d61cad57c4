/**
 * `warden ledger query`, and the questions that come up most: what an owner's agents did, what was done under a version
 * of a policy, and what happened in a job. With `--prove` each record is checked on this side.
 */
import { type EventView, eventPage } from "@trustwarden/core/api/ledger.ts";
import type { Command } from "commander";
import { formatTarget } from "../client.ts";
import { examples, type Runtime, runCommand, type Session, wholeNumber } from "../command.ts";
import { agentIdOf, ownerIdOf, parseInstant } from "../event-filter.ts";
import { createEventProver, formatPageProof } from "../evidence-session.ts";
import { formatTable } from "../output.ts";
import { readWitnessPolicy } from "../witness-policy.ts";

/** Which page, and whether it is checked. */
interface PageOptions {
  readonly since?: string;
  readonly until?: string;
  readonly cursor?: string;
  readonly limit: number;
  readonly order?: "newest" | "oldest";
  readonly prove?: true;
}

interface QueryOptions extends PageOptions {
  readonly agent?: string;
  readonly actor?: string;
  readonly subtree?: string;
  readonly owner?: string;
  readonly action?: string;
  readonly resource?: string;
  readonly job?: string;
  readonly policy?: string;
  readonly decision?: "allow" | "deny";
  readonly outcome?: EventView["outcome"];
  readonly kind?: string;
}

const REFUSAL = "The ledger could not be queried.";

export function addQueryCommands(ledger: Command, runtime: Runtime): void {
  addQueryCommand(ledger, runtime);
  addReadyQuestion(ledger, runtime, {
    name: "owner",
    argument: "<owner>",
    about: "name or own_…",
    description: "everything that an owner's agents did",
    example: "warden ledger owner acme --since 7d",
    ask: (owner) => ({ owner, kind: "action" }),
  });
  addReadyQuestion(ledger, runtime, {
    name: "policy",
    argument: "<policy>",
    about: "name, digest of a version's bundle, or <name>@<digest>",
    description: "every action that was decided under a policy, or under one version of it",
    example: "warden ledger policy finance-prod-v2.3 --json",
    ask: (policy) => ({ policy }),
  });
  addReadyQuestion(ledger, runtime, {
    name: "job",
    argument: "<job>",
    about: "as the agents named it in their intents",
    description: "what happened in a job, in its order",
    example: "warden ledger job invoice-4711 --prove",
    ask: (job) => ({ job, order: "oldest" }),
  });
}

function addQueryCommand(ledger: Command, runtime: Runtime): void {
  const command = ledger
    .command("query")
    .description(
      "events by agent, owner, action, resource, job, policy, decision, outcome or time; all must hold",
    )
    .option(
      "--agent <agent>",
      "what it did, what was done about it, and what agents below it did; name, path/name, agt_…, inst-… or SPIFFE ID",
    )
    .option("--actor <agent>", "its own events, without those of agents below it; name, path/name or agt_…")
    .option("--subtree <who>", "what an agent or owner and everything below it did; own_…, or as --actor")
    .option("--owner <owner>", "name or own_…")
    .option("--action <name>", "such as write:transactions")
    .option("--resource <uri>", "exactly as recorded")
    .option("--job <job>", "as the agents named it")
    .option("--policy <policy>", "name, bundle digest, or <name>@<digest>")
    .option("--decision <decision>", "allow or deny")
    .option("--outcome <outcome>", "success, failure, aborted, denied or pending")
    .option("--kind <kind>", "action, or a control kind: issue, renew, revoke, refuse, owner, read, …");
  addPageOptions(command)
    .addHelpText(
      "after",
      examples(
        "warden ledger query --agent payment-agent --since 1h",
        "warden ledger query --subtree own_01J… --decision deny --action write:transactions",
        "warden ledger query --kind refuse --json",
        "warden ledger query --job invoice-4711 --order oldest --prove",
      ),
    )
    .action((options: QueryOptions, command: Command) =>
      runCommand({ runtime, command, refusal: REFUSAL, run: (session) => queryEvents(session, options) }),
    );
}

interface ReadyQuestion {
  readonly name: string;
  readonly argument: string;
  readonly about: string;
  readonly description: string;
  readonly example: string;
  readonly ask: (value: string) => Partial<QueryOptions>;
}

function addReadyQuestion(ledger: Command, runtime: Runtime, question: ReadyQuestion): void {
  const { name, argument, about, description, example, ask } = question;
  addPageOptions(ledger.command(name).description(description).argument(argument, about))
    .addHelpText("after", examples(example))
    .action((value: string, options: PageOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: REFUSAL,
        run: (session) => queryEvents(session, { ...ask(value), ...options }),
      }),
    );
}

function addPageOptions(command: Command): Command {
  return command
    .option("--since <time>", "RFC 3339, or how long ago: 30s, 10m, 1h, 7d")
    .option("--until <time>", "RFC 3339, or how long ago")
    .option("--order <order>", "newest or oldest first")
    .option("--cursor <cursor>", "go on where a page ended, or back to the one before")
    .option("--limit <n>", "rows", wholeNumber(1, 500), 50)
    .option(
      "--prove",
      "check each record on this side: its signature, and its place in the signed log (at most 100 rows)",
    );
}

async function queryEvents(session: Session, options: QueryOptions): Promise<void> {
  const { client, output, paths } = session;
  const { prove, ...question } = options;
  const query = await resolveNames(session, question);
  const target = formatTarget("/v1/events", { ...query, proofs: prove === true ? "true" : undefined });
  const page = await client.get(target, eventPage);
  const prover = prove === true ? await createEventProver(client, readWitnessPolicy(paths)) : null;
  const proof = prover === null ? null : await prover.provePage(page);
  const lines = formatTable(
    ["TIME", "OUTCOME", "WHAT", "RESOURCE", "WHO", "EVENT"],
    page.events.map(formatEvent),
    "No event matches.",
  );
  const { next_cursor, previous_cursor } = page;
  const more = next_cursor === null ? [] : [`More: add --cursor ${next_cursor}`];
  const back = previous_cursor === null ? [] : [`Back: add --cursor ${previous_cursor}`];
  const remarks = [...more, ...back, ...(proof === null ? [] : [formatPageProof(proof)])];
  const shown = { events: page.events.map((event) => ({ ...event })), next_cursor, previous_cursor };
  const verified =
    proof === null
      ? {}
      : { proof: { verified: true, ...proof, witnessed: proof.witnessed.kind === "proven" } };
  output.show({ ...shown, ...verified }, [...lines, ...(remarks.length === 0 ? [] : ["", ...remarks])]);
}

async function resolveNames(
  { client, io }: Session,
  options: Omit<QueryOptions, "prove">,
): Promise<Readonly<Record<string, string | number | undefined>>> {
  const { since, until, agent, actor, subtree, owner } = options;
  const instant = (text: string | undefined) =>
    text === undefined ? undefined : parseInstant(text, io.nowMs());
  const agentId = async (text: string | undefined) =>
    text === undefined || text.startsWith("own_") ? text : agentIdOf(client, text);
  return {
    ...options,
    since: instant(since),
    until: instant(until),
    agent: await agentId(agent),
    actor: await agentId(actor),
    subtree: await agentId(subtree),
    owner: owner === undefined ? undefined : await ownerIdOf(client, owner),
  };
}

function formatEvent(event: EventView): readonly string[] {
  return [
    event.timestamp,
    event.outcome,
    event.kind === "action" ? (event.action ?? "-") : event.kind,
    event.resource ?? "-",
    event.agent_id ?? event.authorized_by,
    event.event_id,
  ];
}
