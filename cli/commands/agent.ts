/**
 * `warden agent`: permit an agent to exist (a ticket), and look at those that do.
 */
import type { AgentView } from "@trustwarden/core/api/ledger.ts";
import { narrowingAnswer } from "@trustwarden/core/api/revocation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { formatTree } from "../agent-tree.ts";
import { type AgentInstance, fetchAgents, findAgent } from "../agents.ts";
import type { Client } from "../client.ts";
import { examples, type Runtime, repeatable, runCommand, type Session } from "../command.ts";
import { formatSeconds, formatTable } from "../output.ts";
import { fetchOwners } from "../owners.ts";
import { addClaimCommand } from "./agent-claim.ts";
import { addTicketCommand } from "./agent-ticket.ts";
import { addTransferCommands } from "./agent-transfer.ts";

interface ListOptions {
  readonly owner?: string;
  readonly name?: string;
}

export function addAgentCommands(program: Command, runtime: Runtime): void {
  const agent = program
    .command("agent")
    .description("agents: permit one to exist, claim one that asks, list, show, narrow, hand over")
    .addHelpText(
      "after",
      examples(
        "warden agent ticket --owner alice --path team/finance --name orchestrator --scope read:transactions",
        "warden agent tree",
        "warden agent show payment-agent",
      ),
    );
  addTicketCommand(agent, runtime);
  addClaimCommand(agent, runtime);
  addListCommands(agent, runtime);
  addShowCommand(agent, runtime);
  addNarrowCommand(agent, runtime);
  addTransferCommands(agent, runtime);
}

function addListCommands(agent: Command, runtime: Runtime): void {
  agent
    .command("list")
    .description("every agent, oldest first")
    .option("--owner <id>", "only of this owner (own_…)")
    .option("--name <name>", "only with this name")
    .addHelpText("after", examples("warden agent list", "warden agent list --name payment-agent --json"))
    .action((options: ListOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The agents could not be listed.",
        run: async ({ client, output }) => {
          const agents = await fetchAgents(client, options);
          output.show({ agents: agents.map((each) => ({ ...each })) }, formatList(agents));
        },
      }),
    );
  agent
    .command("tree")
    .description("who created whom, from the owners down")
    .addHelpText("after", examples("warden agent tree", "warden agent tree --as alice"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The tree could not be shown.", run: showTree }),
    );
}

function addShowCommand(agent: Command, runtime: Runtime): void {
  agent
    .command("show")
    .description("one agent with its instances and effective scopes")
    .argument("<agent>", "name, path/name, agt_…, inst-… or SPIFFE ID")
    .addHelpText("after", examples("warden agent show payment-agent", "warden agent show agt_01J… --json"))
    .action((text: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The agent ${text} could not be shown.`,
        run: async ({ client, output }) => {
          const { agent: found } = await findAgent(client, text);
          output.show({ ...found }, formatAgentDetails(found));
        },
      }),
    );
}

function addNarrowCommand(agent: Command, runtime: Runtime): void {
  agent
    .command("narrow")
    .description(
      "take rights away from a living agent, everywhere within one lease; they cannot be given back",
    )
    .argument("<agent>", "name, path/name, agt_…, inst-… or SPIFFE ID")
    .addOption(repeatable("--scope <atom>", "what is left; repeat for each").makeOptionMandatory())
    .addHelpText("after", examples("warden agent narrow payment-agent --scope read:transactions"))
    .action((text: string, options: { readonly scope: readonly string[] }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The agent ${text} keeps its scope.`,
        run: (session) => narrowAgent(session, { text, scope: options.scope }),
      }),
    );
}

async function showTree({ client, output, asOwner }: Session): Promise<void> {
  const agents = await fetchAgents(client);
  const ownerNames = asOwner === undefined ? await fetchOwnerNames(client) : new Map<string, string>();
  const lines = formatTree(agents, ownerNames);
  output.show(
    { agents: agents.map((each) => ({ ...each })) },
    lines.length > 0 ? lines : ["No agents yet: permit one with `warden agent ticket`."],
  );
}

async function narrowAgent(
  { client, output }: Session,
  { text, scope }: { readonly text: string; readonly scope: readonly string[] },
): Promise<void> {
  const { agent, instance } = await findAgent(client, text);
  const instances = instance === undefined ? agent.instances.filter(isLive) : [instance];
  if (instances.length === 0)
    throw new TrustWardenError("not_found", { why: `${text} has no live instance` });
  const answers = [];
  for (const { instance_id } of instances) {
    const body = { instance_id, scope: [...scope] };
    answers.push(await client.post({ target: "/v1/narrowings", body, schema: narrowingAnswer }));
  }
  output.show(
    { narrowed: answers.map((answer) => ({ ...answer })) },
    answers.map(
      (answer) =>
        `${agent.name} may do only ${answer.scope.join(", ") || "nothing"} since ${answer.stopped_by} ` +
        `(epoch ${answer.epoch}; ${answer.acked} verifiers acknowledged, ${answer.expired} leases ran out).`,
    ),
  );
}

async function fetchOwnerNames(client: Client): Promise<ReadonlyMap<string, string>> {
  const owners = await fetchOwners(client);
  return new Map(owners.map((owner) => [owner.owner_id, owner.name]));
}

function isLive(instance: AgentInstance): boolean {
  return instance.status === "live";
}

function formatList(agents: readonly AgentView[]): readonly string[] {
  const rows = agents.map((agent) => [
    agent.name,
    agent.path || "-",
    agent.agent_id,
    agent.status,
    `${agent.instances.filter(isLive).length}/${agent.instances.length}`,
    agent.parent_agent_id ?? agent.owner_id,
  ]);
  const header = ["NAME", "PATH", "ID", "STATUS", "LIVE", "CREATED BY"];
  return formatTable(header, rows, "No agents yet: permit one with `warden agent ticket`.");
}

function formatAgentDetails(agent: AgentView): readonly string[] {
  const rows = agent.instances.map((instance) => [
    instance.instance_id,
    instance.status,
    formatSeconds(instance.expires_at),
    instance.effective_scope.join(" ") || "nothing",
  ]);
  return [
    `${agent.name} is ${agent.agent_id}, ${agent.status}.`,
    `Place: ${agent.path || "(none)"}   Owner: ${agent.owner_id}   Created by: ${agent.parent_agent_id ?? "its owner's ticket"}`,
    "",
    ...formatTable(["INSTANCE", "STATUS", "EXPIRES", "EFFECTIVE SCOPE"], rows, "It has no instances."),
  ];
}
