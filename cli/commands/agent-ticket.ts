/**
 * `warden agent ticket`: an owner's key signs, on this machine, the permission to enrol one agent once.
 */
import { hasWildcardVerbOrType } from "@trustwarden/core/scope.ts";
import type { Command } from "commander";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { formatSeconds } from "../output.ts";
import { issueOwnerTicket, type OwnerTicketOptions } from "../owner-ticket.ts";

/** How long an unused ticket stays good by default: it is a secret on its way to a process that starts soon. */
const DEFAULT_VALID_FOR = "1h";
const MAX_INTEGER = 1_000_000_000;

export function addTicketCommand(agent: Command, runtime: Runtime): void {
  agent
    .command("ticket")
    .description("permit one agent to enrol, once: prints the ticket, signed by the owner's key")
    .requiredOption("--owner <name>", "whose key signs; see `warden owner create`")
    .requiredOption("--name <name>", "of the agent, such as orchestrator")
    .addOption(
      repeatable("--scope <atom>", "what it may do, verb:type[:path]; repeat for each").makeOptionMandatory(),
    )
    .option("--path <path>", "its place, such as team/finance", "")
    .option("--ttl <time>", "lifetime of the instance", "8h")
    .option("--valid-for <time>", "how long the unused ticket stays good", DEFAULT_VALID_FOR)
    .option("--depth <n>", "generations below it", wholeNumber(0, 32), 3)
    .option("--fan-out <n>", "live direct children", wholeNumber(0, MAX_INTEGER), 16)
    .option(
      "--budget <n>",
      "integer units that its children share; none is unlimited",
      wholeNumber(0, MAX_INTEGER),
    )
    .addHelpText(
      "after",
      examples(
        "warden agent ticket --owner alice --path team/finance --name orchestrator \\",
        "    --scope read:transactions --scope write:reports --ttl 8h",
        "env $(warden agent ticket --owner alice --name crawler --scope fetch:web --ttl 1h) node crawler.ts",
      ),
    )
    .action((options: OwnerTicketOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `No ticket for ${options.name} was made.`,
        run: (session) => makeTicket(session, options),
      }),
    );
}

async function makeTicket(session: Session, options: OwnerTicketOptions): Promise<void> {
  const { output } = session;
  const made = await issueOwnerTicket(session, options);
  const { value, ownerId, path, name, scope } = made;
  if (hasWildcardVerbOrType(scope))
    output.note("warden: a wildcard verb or type reaches far; it is limited to one hour.");
  const expiresAt = formatSeconds(made.expiresAt);
  output.show({ ticket: value, owner_id: ownerId, path, name, scope: [...scope], expires_at: expiresAt }, [
    `TRUSTWARDEN_TICKET=${value}`,
  ]);
}
