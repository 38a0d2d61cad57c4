/**
 * Puts, replaces, binds anew, disables and destroys secrets: sealed before they come here, so that neither this thread
 * nor its database ever holds a value. The event names the secret, its version and its scope.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { SealedVersion, SecretChange, SecretCommand, SecretState } from "../broker-ports.ts";
import { findSecret, listSecrets } from "../broker-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type CommandResult, secondsOf } from "./deps.ts";

/** All are listed in one answer, and every canary is in one automaton. */
const MAX_SECRETS = 10_000;

const INSERT = `
  INSERT INTO secrets (name, secret_id, kind, settings, is_disabled, revision, created_at, changed_at)
  VALUES (?, ?, ?, ?, 0, 0, ?, ?)`;
const NEWEST_KEY = "SELECT MAX(key_id) AS key_id FROM secret_versions";
const INSERT_VERSION = `
  INSERT INTO secret_versions (name, version, key_id, wrapped_key, ciphertext, created_at) VALUES (?, ?, ?, ?, ?, ?)`;
const END_VERSIONS =
  "UPDATE secret_versions SET ends_at = ? WHERE name = ? AND version < ? AND ends_at IS NULL";
const RESEAL = `
  UPDATE secret_versions SET key_id = ?, wrapped_key = ?, ciphertext = ? WHERE name = ? AND version = ?`;
const REWRAP = "UPDATE secret_versions SET key_id = ?, wrapped_key = ? WHERE name = ? AND version = ?";
const SET_SETTINGS = "UPDATE secrets SET settings = ? WHERE name = ?";
const SET_DISABLED = "UPDATE secrets SET is_disabled = ? WHERE name = ?";
const TOUCH = "UPDATE secrets SET revision = revision + 1, changed_at = ? WHERE name = ?";
/** In place, so that the page itself forgets what a deletion would leave in its free space. */
const BLANK = `
  UPDATE secret_versions SET wrapped_key = zeroblob(length(wrapped_key)), ciphertext = zeroblob(length(ciphertext))
  WHERE name = ? AND version = ?`;
const DELETE_VERSION = "DELETE FROM secret_versions WHERE name = ? AND version = ?";
const DELETE = "DELETE FROM secrets WHERE name = ?";

/** Whether a change takes a secret out of use: that must not wait, for the right time or for a database. */
export function isSecretStop({ change }: Pick<SecretCommand, "change">): boolean {
  return change === "disable" || change === "delete";
}

/** @throws TrustWardenError as `SecretCommands.changeSecret`. */
export function changeSecret(
  database: SqliteDatabase,
  command: SecretCommand,
): CommandResult<SecretState | null> {
  const now = secondsOf(command.context);
  if (command.change === "rewrap") return rewrap(database, command, now);
  const before = findSecret(database, command.name);
  if (command.change === "put") put(database, command, { before, now });
  else apply(database, command, { before: requireKnown(before, command.name), now });
  const after = findSecret(database, command.name) ?? null;
  return { value: after, draft: draftOf(command, after ?? requireKnown(before, command.name)) };
}

function put(
  database: SqliteDatabase,
  command: Extract<SecretChange, { readonly change: "put" }>,
  { before, now }: { readonly before: SecretState | undefined; readonly now: number },
): void {
  const { name, secretId, kind, settings, sealed, newestKey } = command;
  if (before !== undefined) throw new TrustWardenError("secret_exists", { name });
  if (listSecrets(database).length >= MAX_SECRETS)
    throw new TrustWardenError("quota_exceeded", { limit: MAX_SECRETS });
  // Every other change is held to its secret's revision, which a rotation of the keys raises; a new secret has none.
  const newest = database.get(NEWEST_KEY)?.textOrNull("key_id") ?? null;
  if (newest !== null && newest > (newestKey ?? sealed.keyId))
    throw new TrustWardenError("secret_conflict", { name, reason: "another key is in use by now" });
  database.run(INSERT, name, secretId, kind, settings, now, now);
  insertVersion(database, { name, sealed, now });
}

function apply(
  database: SqliteDatabase,
  command: Exclude<SecretChange, { readonly change: "put" | "rewrap" }>,
  { before, now }: { readonly before: SecretState; readonly now: number },
): void {
  const { name } = command;
  if ("revision" in command && command.revision !== before.revision)
    throw new TrustWardenError("secret_conflict", { name, revision: before.revision });
  database.run(TOUCH, now, name);
  switch (command.change) {
    case "rotate":
    case "rollback":
      replace(database, before, { ...command, now });
      return;
    case "scope":
      database.run(SET_SETTINGS, command.settings, name);
      reseal(database, before, command.sealed);
      return;
    case "disable":
    case "enable":
      database.run(SET_DISABLED, command.change === "disable" ? 1 : 0, name);
      return;
    case "expire":
      destroy(database, before, ({ endsAt }) => endsAt !== null && endsAt <= now);
      return;
    case "delete":
      destroy(database, before, () => true);
      database.run(DELETE, name);
  }
}

function replace(
  database: SqliteDatabase,
  before: SecretState,
  next: { readonly sealed: SealedVersion; readonly graceSeconds: number; readonly now: number },
): void {
  const { sealed, graceSeconds, now } = next;
  const { name, versions } = before;
  const latest = versions[0]?.version ?? 0;
  if (sealed.version !== latest + 1) throw new TrustWardenError("secret_conflict", { name, latest });
  insertVersion(database, { name, sealed, now });
  if (graceSeconds === 0) destroy(database, before, () => true);
  else database.run(END_VERSIONS, now + graceSeconds, name, sealed.version);
}

function reseal(
  database: SqliteDatabase,
  { name, versions }: SecretState,
  sealed: readonly SealedVersion[],
): void {
  const given = new Set(sealed.map(({ version }) => version));
  // One that was left out would never open again.
  if (given.size !== versions.length || !versions.every(({ version }) => given.has(version)))
    throw new TrustWardenError("secret_conflict", { name });
  for (const { version, keyId, wrappedKey, ciphertext } of sealed) {
    database.run(RESEAL, keyId, wrappedKey, ciphertext, name, version);
  }
}

function insertVersion(
  database: SqliteDatabase,
  { name, sealed, now }: { readonly name: string; readonly sealed: SealedVersion; readonly now: number },
): void {
  const { version, keyId, wrappedKey, ciphertext } = sealed;
  database.run(INSERT_VERSION, name, version, keyId, wrappedKey, ciphertext, now);
}

function destroy(
  database: SqliteDatabase,
  { name, versions }: SecretState,
  isOver: (version: SecretState["versions"][number]) => boolean,
): void {
  for (const { version } of versions.filter(isOver)) {
    database.run(BLANK, name, version);
    database.run(DELETE_VERSION, name, version);
  }
}

/** Secrets that changed meanwhile are left out: the next round finds them under whatever key they are. */
function rewrap(
  database: SqliteDatabase,
  command: Extract<SecretCommand, { readonly change: "rewrap" }>,
  now: number,
): CommandResult<null> {
  const states = new Map(command.keys.map(({ name }) => [name, findSecret(database, name)]));
  const current = command.keys.filter(({ name, revision }) => states.get(name)?.revision === revision);
  for (const { name, version, keyId, wrappedKey } of current) {
    database.run(REWRAP, keyId, wrappedKey, name, version);
  }
  for (const name of new Set(current.map(({ name }) => name))) database.run(TOUCH, now, name);
  const details = {
    change: "rewrap",
    key_id: command.keyId,
    versions: current.length,
    reason: command.reason,
  };
  return {
    value: null,
    draft: { kind: "secret", allow: true, reasons: [], subject: null, chain: [], details },
  };
}

function requireKnown(state: SecretState | undefined, name: string): SecretState {
  if (state === undefined) throw new TrustWardenError("not_found", { name });
  return state;
}

function draftOf(command: Exclude<SecretCommand, { readonly change: "rewrap" }>, state: SecretState) {
  const [current] = state.versions;
  const details: JsonObject = {
    change: command.change,
    secret_id: state.secretId,
    secret_kind: state.kind,
    version: current?.version ?? null,
    key_id: current?.keyId ?? null,
    grace_seconds: "graceSeconds" in command ? command.graceSeconds : null,
    reason: command.reason,
    ...scopeOf(command, state),
  };
  const subject = `secret:${state.name}`;
  return { kind: "secret", allow: true, reasons: [], subject, chain: [], details } as const;
}

/** Where it may go and who may use it, whenever that is new. */
function scopeOf({ change }: SecretChange, { settings }: SecretState): JsonObject {
  if (change !== "put" && change !== "scope") return {};
  const { upstreams = null, agents = null, injection = null } = parseJsonObject(settings);
  const shown = isJsonObject(injection) ? (injection.as ?? null) : null;
  return { upstreams, agents, injection: shown };
}
