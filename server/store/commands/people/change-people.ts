/** What happens to people: one event a change, in the transaction that makes it. */
import type { PeopleChanged, PeopleCommand } from "../../people-ports.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import type { CommandDeps, CommandResult } from "../deps.ts";
import { createLink } from "./links.ts";
import { register } from "./register.ts";
import { logIn, logOut } from "./sessions.ts";

/** @throws TrustWardenError see `PeopleCommands.changePeople`. */
export function changePeople(
  database: SqliteDatabase,
  command: PeopleCommand,
  deps: CommandDeps,
): CommandResult<PeopleChanged> {
  switch (command.change) {
    case "create-link":
      return createLink(database, command);
    case "register":
      return register(database, command, deps);
    case "log-in":
      return logIn(database, command);
    case "log-out":
      return logOut(database, command);
  }
}
