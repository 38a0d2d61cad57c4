/**
 * `warden verifier`: services that agents visit. An operator approves each by a single-use ticket.
 */
import { ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand } from "../command.ts";

interface TicketOptions {
  readonly name: string;
  readonly ttl: string;
}

export function addVerifierCommands(program: Command, runtime: Runtime): void {
  const verifier = program
    .command("verifier")
    .description("services that agents visit")
    .addHelpText("after", examples("warden verifier ticket --name finance-api --ttl 24h"));
  verifier
    .command("ticket")
    .description("approve one service: prints the ticket that it enrols with, once")
    .requiredOption("--name <name>", "of the service, such as finance-api")
    .option("--ttl <time>", "lifetime of the service's instance", "24h")
    .addHelpText(
      "after",
      examples(
        "warden verifier ticket --name finance-api",
        "env $(warden verifier ticket --name finance-api --ttl 8h) node service.ts",
      ),
    )
    .action((options: TicketOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "No verifier ticket was made.",
        run: async ({ client, output }) => {
          const body = { name: options.name, ttl_seconds: parseTtl(options.ttl) };
          const answer = await client.post({ target: "/v1/verifier-tickets", body, schema: ticketAnswer });
          output.show(answer, [`TRUSTWARDEN_TICKET=${answer.ticket}`]);
        },
      }),
    );
}
