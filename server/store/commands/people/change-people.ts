/** What happens to people: one event a change, in the transaction that makes it. */
import type { PeopleChanged, PeopleCommand } from "../../people-ports.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";
import type { CommandDeps, CommandResult } from "../deps.ts";
import { changeConfirmation } from "./confirmations.ts";
import { addFirstPasskey } from "./first-passkey.ts";
import { createLink } from "./links.ts";
import { changeOrganization } from "./organizations.ts";
import { addOwnPasskey, removeOwnPasskey } from "./own-passkeys.ts";
import { register } from "./register.ts";
import { changeRestore } from "./restores.ts";
import { logIn, logOut } from "./sessions.ts";
import { endPerson, setRoles } from "./standing.ts";
import { addIdentity, logInSubject, registerSubject } from "./subjects.ts";

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
    case "register-subject":
      return registerSubject(database, command);
    case "log-in-subject":
      return logInSubject(database, command);
    case "add-first-passkey":
      return addFirstPasskey(database, command, deps);
    case "log-out":
      return logOut(database, command);
    case "set-roles":
      return setRoles(database, command);
    case "end":
      return endPerson(database, command);
    case "add-identity":
      return addIdentity(database, command);
    case "add-passkey":
      return addOwnPasskey(database, command);
    case "remove-passkey":
      return removeOwnPasskey(database, command);
    case "organization":
      return changeOrganization(database, { change: command.organization, context: command.context });
    case "confirmation":
      return changeConfirmation(database, { change: command.confirmation, context: command.context });
    case "restore":
      return changeRestore(database, { change: command.restore, context: command.context });
  }
}
