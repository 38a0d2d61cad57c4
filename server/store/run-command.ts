/** Which command is run by what, and what belongs to each of them: its clock, its intent, its event. */
import type { ApprovalCommands } from "./approval-ports.ts";
import type { ChangeAuthorityCommand, StoredAuthority } from "./authority-ports.ts";
import type { SecretCommand, SecretState } from "./broker-ports.ts";
import { issueToken, revokeToken } from "./commands/access-tokens.ts";
import { admitNode } from "./commands/admit-node.ts";
import { addLabels, answerApproval, createApproval, setFreeze, useApproval } from "./commands/approvals.ts";
import { endByNode, issueJwtByNode, issueWitByNode, renewByNode } from "./commands/by-node.ts";
import { changeAuthority, isAuthorityStop, mendAuthority } from "./commands/change-authority.ts";
import { changeFederation } from "./commands/change-federation.ts";
import { approveMcp, observeMcp } from "./commands/change-mcp.ts";
import { changeSecret, isSecretStop } from "./commands/change-secret.ts";
import { changeUpstream } from "./commands/change-upstream.ts";
import { changeClaim } from "./commands/claim-codes.ts";
import { claimIntent } from "./commands/claims.ts";
import { requireClock } from "./commands/clock.ts";
import { recordControl } from "./commands/control-record.ts";
import { createOwner } from "./commands/create-owner.ts";
import { createVerifierTicket } from "./commands/create-verifier-ticket.ts";
import { depositTicket } from "./commands/deposit-ticket.ts";
import type { CommandDeps, CommandResult } from "./commands/deps.ts";
import { createEntry, removeEntry } from "./commands/entries.ts";
import { issueGrant } from "./commands/identity-grants.ts";
import { issue } from "./commands/issue.ts";
import { issueByEntry } from "./commands/issue-by-entry.ts";
import { issueJwt } from "./commands/issue-jwt.ts";
import { issueServerSvid } from "./commands/issue-server-svid.ts";
import { issueWit } from "./commands/issue-wit.ts";
import { createJoinToken } from "./commands/join-token.ts";
import { loadPolicy } from "./commands/load-policy.ts";
import { narrow } from "./commands/narrow.ts";
import { changePeople } from "./commands/people/change-people.ts";
import { touchSession } from "./commands/people/sessions.ts";
import { findStopOf } from "./commands/people/standing.ts";
import { admitSvid, registerForeign } from "./commands/register-foreign.ts";
import { renew } from "./commands/renew.ts";
import { issueCrls } from "./commands/revocation-lists.ts";
import { revoke, revokeAsAsked } from "./commands/revoke.ts";
import { saveBudgetUse, setBudget } from "./commands/set-budget.ts";
import { issueStatusList } from "./commands/status-slots.ts";
import { acceptTransfer, offerTransfer } from "./commands/transfer-agent.ts";
import type { PeopleChanged, PeopleCommand } from "./people-ports.ts";
import type { CommandContext, Committed, IssuedCrls, IssuedStatusList } from "./ports.ts";
import type { ReadingState } from "./reading-ports.ts";
import { countReading } from "./reading-rows.ts";
import type { RegistrationCommands } from "./registration-ports.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";
import type { TransferCommands } from "./transfer-ports.ts";
import type { WitCommands } from "./wit-ports.ts";
import type { WriterCommand } from "./writer-protocol.ts";

const MARK_SEQUENCED = "DELETE FROM outbox WHERE outbox_id = ?";

const BOOKS = {
  addLabels: true,
  saveBudgetUse: true,
  countReading: true,
  touchSession: true,
  markSequenced: true,
} as const;

/** Of which the ledger is told nothing. */
type Bookkeeping = Extract<WriterCommand, { readonly kind: keyof typeof BOOKS }>;

/** What came of a command. */
type Ran = Committed<unknown> | ReturnType<typeof runUnrecorded> | ReturnType<typeof keepBooks>;

/**
 * Runs one command; those of agents and operators with all that belongs to each of them. Revoking does not look at the
 * clock: stopping must work whatever it says.
 */
export function runCommand(database: SqliteDatabase, deps: CommandDeps, request: WriterCommand): Ran {
  if (isBookkeeping(request)) return keepBooks(database, request);
  switch (request.kind) {
    case "createOwner":
    case "createVerifierTicket":
    case "depositTicket":
    case "changeClaim":
    case "offerTransfer":
    case "acceptTransfer":
    case "setBudget":
      return commit<unknown>(database, deps, request.command, () => runOperators(database, deps, request));
    case "issue":
    case "renew":
    case "narrow":
    case "issueServerSvid":
      return commit<unknown>(database, deps, request.command, () => runIdentities(database, deps, request));
    case "issueJwt":
    case "issueAccessToken":
    case "issueIdentityGrant":
      return commit<unknown>(database, deps, request.command, () => runTokens(database, deps, request));
    case "createJoinToken":
    case "admitNode":
    case "createEntry":
    case "removeEntry":
    case "issueByEntry":
    case "renewByNode":
    case "issueJwtByNode":
    case "endByNode":
    case "issueWit":
    case "issueWitByNode":
      return commit<unknown>(database, deps, request.command, () => runRegistration(database, deps, request));
    case "createApproval":
    case "answerApproval":
    case "useApproval":
    case "setFreeze":
      return commit<unknown>(database, deps, request.command, () => runApproval(database, request));
    case "revokeAccessToken":
    case "revoke":
      return commitAtAnyTime<unknown>(database, deps, request.command, () => runStop(database, request));
    case "changeAuthority":
      return commitAuthority(database, deps, request.command);
    case "mendAuthority":
    case "issueCrls":
    case "issueStatusList":
      return runUnrecorded(database, deps, request);
    case "changeFederation":
    case "registerForeign":
    case "admitSvid":
    case "changeUpstream":
    case "observeMcp":
    case "approveMcp":
    case "loadPolicy":
      return commit<unknown>(database, deps, request.command, () => runNeighbours(database, deps, request));
    case "changeSecret":
      return commitSecret(database, deps, request.command);
    case "changePeople":
      return commitPeople(database, deps, request.command);
  }
}

/** Runs one command by which something ends. */
function runStop(
  database: SqliteDatabase,
  request: Extract<WriterCommand, { readonly kind: "revokeAccessToken" | "revoke" }>,
): CommandResult<unknown> {
  return request.kind === "revoke"
    ? revokeAsAsked(database, request.command)
    : revokeToken(database, request.command);
}

/** Runs one command that only says again, signed, what was recorded before. */
function runUnrecorded(
  database: SqliteDatabase,
  deps: CommandDeps,
  request: Extract<WriterCommand, { readonly kind: "mendAuthority" | "issueCrls" | "issueStatusList" }>,
): StoredAuthority | IssuedCrls | IssuedStatusList {
  switch (request.kind) {
    case "mendAuthority":
      return mendAuthority(database, request.command, deps);
    case "issueCrls":
      return issueCrls(database, request.command, deps);
    case "issueStatusList":
      return issueStatusList(database, request.command, deps);
  }
}

/** Runs one command about an identity: of an agent, or the server's own. */
function runIdentities(
  database: SqliteDatabase,
  deps: CommandDeps,
  request: Extract<WriterCommand, { readonly kind: "issue" | "renew" | "narrow" | "issueServerSvid" }>,
): CommandResult<unknown> {
  switch (request.kind) {
    case "issue":
      return issue(database, request.command, deps);
    case "renew":
      return renew(database, request.command, deps);
    case "narrow":
      return narrow(database, request.command);
    case "issueServerSvid":
      return issueServerSvid(database, request.command, deps);
  }
}

/** Runs one command by which a token leaves. */
function runTokens(
  database: SqliteDatabase,
  deps: CommandDeps,
  request: Extract<WriterCommand, { readonly kind: "issueJwt" | "issueAccessToken" | "issueIdentityGrant" }>,
): CommandResult<unknown> {
  switch (request.kind) {
    case "issueJwt":
      return issueJwt(database, request.command, deps);
    case "issueAccessToken":
      return issueToken(database, request.command, deps);
    case "issueIdentityGrant":
      return issueGrant(database, request.command, deps);
  }
}

/** Runs one command about other trust domains and what is behind the gateway. */
function runNeighbours(
  database: SqliteDatabase,
  deps: CommandDeps,
  request: Extract<
    WriterCommand,
    {
      readonly kind:
        | "changeFederation"
        | "registerForeign"
        | "admitSvid"
        | "changeUpstream"
        | "observeMcp"
        | "approveMcp"
        | "loadPolicy";
    }
  >,
): CommandResult<unknown> {
  switch (request.kind) {
    case "changeFederation":
      return changeFederation(database, request.command);
    case "registerForeign":
      return registerForeign(database, request.command, deps);
    case "admitSvid":
      return admitSvid(database, request.command);
    case "changeUpstream":
      return changeUpstream(database, request.command);
    case "observeMcp":
      return observeMcp(database, request.command);
    case "approveMcp":
      return approveMcp(database, request.command);
    case "loadPolicy":
      return loadPolicy(database, request.command);
  }
}

function isBookkeeping(request: WriterCommand): request is Bookkeeping {
  return Object.hasOwn(BOOKS, request.kind);
}

/** Runs a command that the ledger is told nothing of: it only remembers what something else has recorded. */
function keepBooks(
  database: SqliteDatabase,
  request: Bookkeeping,
): ReturnType<typeof saveBudgetUse> | ReadingState {
  switch (request.kind) {
    case "addLabels":
      return addLabels(database, request.command);
    case "saveBudgetUse":
      return saveBudgetUse(database, request.rows);
    case "countReading":
      return countReading(database, request.reading);
    case "touchSession":
      return touchSession(database, request.touch);
    case "markSequenced":
      for (const outboxId of request.outboxIds) database.run(MARK_SEQUENCED, outboxId);
      return null;
  }
}

/** Runs one command by which an operator or owner lets somebody in, or says how much one may spend. */
function runOperators(
  database: SqliteDatabase,
  deps: CommandDeps,
  request: Extract<
    WriterCommand,
    {
      readonly kind:
        | "createOwner"
        | "createVerifierTicket"
        | "depositTicket"
        | "setBudget"
        | "changeClaim"
        | keyof TransferCommands;
    }
  >,
): CommandResult<unknown> {
  switch (request.kind) {
    case "createOwner":
      return createOwner(database, request.command, deps);
    case "createVerifierTicket":
      return createVerifierTicket(database, request.command, deps);
    case "depositTicket":
      return depositTicket(database, request.command);
    case "changeClaim":
      return changeClaim(database, request.command, deps);
    case "offerTransfer":
      return offerTransfer(database, request.command);
    case "acceptTransfer":
      return acceptTransfer(database, request.command, deps);
    case "setBudget":
      return setBudget(database, request.command);
  }
}

/** Runs one command of approvals and freezes. */
function runApproval(
  database: SqliteDatabase,
  request: Extract<WriterCommand, { readonly kind: Exclude<keyof ApprovalCommands, "addLabels"> }>,
): CommandResult<unknown> {
  switch (request.kind) {
    case "createApproval":
      return createApproval(database, request.command);
    case "answerApproval":
      return answerApproval(database, request.command);
    case "useApproval":
      return useApproval(database, request.command);
    case "setFreeze":
      return setFreeze(database, request.command);
  }
}

/** Runs one command of nodes, entries and WIT-SVIDs. */
function runRegistration(
  database: SqliteDatabase,
  deps: CommandDeps,
  request: Extract<WriterCommand, { readonly kind: keyof (RegistrationCommands & WitCommands) }>,
): CommandResult<unknown> {
  switch (request.kind) {
    case "createJoinToken":
      return createJoinToken(database, request.command, deps);
    case "admitNode":
      return admitNode(database, request.command, deps);
    case "createEntry":
      return createEntry(database, request.command, deps);
    case "removeEntry":
      return removeEntry(database, request.command);
    case "issueByEntry":
      return issueByEntry(database, request.command, deps);
    case "renewByNode":
      return renewByNode(database, request.command, deps);
    case "issueJwtByNode":
      return issueJwtByNode(database, request.command, deps);
    case "endByNode":
      return endByNode(database, request.command);
    case "issueWit":
      return issueWit(database, request.command, deps);
    case "issueWitByNode":
      return issueWitByNode(database, request.command, deps);
  }
}

/** The signers change last, when nothing of the command can fail any more but the commit, which ends the writer. */
function commitAuthority(
  database: SqliteDatabase,
  deps: CommandDeps,
  command: ChangeAuthorityCommand,
): Committed<StoredAuthority> {
  const run = () => changeAuthority(database, command, deps);
  const committed = isAuthorityStop(command)
    ? commitAtAnyTime(database, deps, command, run)
    : commit(database, deps, command, run);
  deps.authority.use(committed.value.slots);
  return committed;
}

/** No clock check for what stops: a disabled secret must be out of use whatever the clock says. */
function commitSecret(
  database: SqliteDatabase,
  deps: CommandDeps,
  command: SecretCommand,
): Committed<SecretState | null> {
  const run = () => changeSecret(database, command);
  return isSecretStop(command)
    ? commitAtAnyTime(database, deps, command, run)
    : commit(database, deps, command, run);
}

/** Ending a session works whatever the clock says. */
function commitPeople(
  database: SqliteDatabase,
  deps: CommandDeps,
  command: PeopleCommand,
): Committed<PeopleChanged> {
  const run = () => changePeople(database, command, deps);
  if (command.change === "log-out") return commitAtAnyTime(database, deps, command, run);
  const stopping = command.change === "end" ? findStopOf(database, command) : undefined;
  if (stopping === undefined) return commit(database, deps, command, run);
  // Two events of one transaction: whoever has to stay keeps its agents, however many leave at once.
  const stop = commit(database, deps, command, () => revoke(database, stopping));
  const { value, ...ended } = commit(database, deps, command, run);
  return { ...ended, value: { ...value, stop } };
}

function commit<T>(
  database: SqliteDatabase,
  deps: CommandDeps,
  { context }: { readonly context: CommandContext },
  run: () => CommandResult<T>,
): Committed<T> {
  requireClock(database, context.nowMs);
  return commitAtAnyTime(database, deps, { context }, run);
}

function commitAtAnyTime<T>(
  database: SqliteDatabase,
  deps: CommandDeps,
  { context }: { readonly context: CommandContext },
  run: () => CommandResult<T>,
): Committed<T> {
  claimIntent(database, context);
  const { value, draft } = run();
  return recordControl(database, deps, { context, draft, value });
}
