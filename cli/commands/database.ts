/** `warden database`: roles of databases that agents were given for their jobs. */
import { databaseRoleList } from "@trustwarden/core/api/database-roles.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatTable } from "../output.ts";

export function addDatabaseCommands(program: Command, runtime: Runtime): void {
  program
    .command("database")
    .description("roles of databases that agents were given for their jobs")
    .addHelpText("after", examples("warden database roles"))
    .command("roles")
    .description("every role in use, whose it is, and its end at the latest")
    .addHelpText("after", examples("warden database roles", "warden database roles --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The roles could not be listed.", run: listRoles }),
    );
}

async function listRoles({ client, output }: Session): Promise<void> {
  const list = await client.get("/v1/database-roles", databaseRoleList);
  const rows = list.roles.map(({ upstream, role, template, instance_id, valid_until }) => [
    upstream,
    role,
    template,
    instance_id,
    valid_until === null ? "never" : new Date(valid_until * 1000).toISOString(),
  ]);
  const none = "No agent has a role of a database.";
  output.show(list, formatTable(["UPSTREAM", "ROLE", "TEMPLATE", "INSTANCE", "UNTIL"], rows, none));
}
