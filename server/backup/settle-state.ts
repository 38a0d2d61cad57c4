/**
 * Makes an old state safe to go on with: by what a newer ledger says was stopped since, or, where nobody can say, by ending everything
 * that was alive in it.
 *
 * Either way whatever was signed to enrol somebody before this moment is void, requests to approve are gone, and the epoch is beyond any
 * that was ever announced.
 */
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { isShardMark } from "@trustwarden/core/agentledger/shard.ts";
import { revocationTarget } from "@trustwarden/core/api/revocation.ts";
import { encodeBase64url, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, payloadTypeOf } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type ControlRecord, parseControlRecord } from "@trustwarden/core/event.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { raiseClockFloor } from "../store/commands/clock.ts";
import { raiseEnrolmentFloor } from "../store/commands/enrolment-floor.ts";
import { removeEntry } from "../store/commands/entries.ts";
import { dateEpoch, readEpoch } from "../store/commands/epoch.ts";
import { narrow } from "../store/commands/narrow.ts";
import { revoke } from "../store/commands/revoke.ts";
import { repeatTransfer } from "../store/commands/transfer-agent.ts";
import type { CommandContext } from "../store/ports.ts";
import type { SqliteDatabase } from "../store/sqlite-database.ts";
import { backupIdOf } from "./backup-notes.ts";
import { AdminsSince } from "./hold-restore.ts";
import { repeatPeople } from "./repeat-people.ts";

const KEEP_KEY = "INSERT INTO keys (spki_sha256, holder) VALUES (?, ?) ON CONFLICT (spki_sha256) DO NOTHING";
const ANNOUNCE = "INSERT INTO feed (epoch, kind, id) VALUES (?, 'policy', '*')";
const END_INSTANCES = "UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL";
const END_AGENTS = "UPDATE agents SET is_revoked = 1, revoked_at = MAX(COALESCE(revoked_at, 0), ?)";
const OWNERS = "SELECT owner_id, name FROM owners WHERE revoked_epoch IS NULL";
const END_OWNER = "UPDATE owners SET revoked_epoch = ? WHERE owner_id = ?";
const END_ENTRIES = "UPDATE entries SET removed_epoch = ? WHERE removed_epoch IS NULL";
const FORGET_NODES = "DELETE FROM entry_nodes";
const END_TOKENS = "UPDATE join_tokens SET used_at = ? WHERE used_at IS NULL";
const FORGET_APPROVALS = "DELETE FROM approvals";
const END_SESSIONS = "UPDATE person_sessions SET ended_at = ? WHERE ended_at IS NULL";
const SPEND_LINKS = "UPDATE person_links SET used_at = ? WHERE used_at IS NULL";
const FORGET_CLAIMS = "DELETE FROM claim_codes";
const FORGET_CONFIRMATIONS = "DELETE FROM confirmations";
const REMOVE_PASSKEYS = `
  UPDATE passkeys SET removed_at = ?
  WHERE removed_at IS NULL AND person_id NOT IN (SELECT value FROM json_each(?))`;
const FORGET_SUBJECTS = "DELETE FROM person_subjects";

/** Kinds after which nothing that was true in the backup is more permissive than it was. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...["start", "owner", "ticket", "issue", "renew", "jwt", "wit", "refuse", "node", "alarm", "approval"],
  ...["evaluation", "read", "session", "confirmation"],
]);
/** Each takes an epoch in the transaction that makes its event. */
const STOPS: readonly string[] = ["revoke", "narrow", "entry", "transfer"];
const { options: TARGETS } = revocationTarget.shape.kind;
const OWNER = "owner:";
const TURN_ROUTE = "POST /v1/ledger/turns";

/** What happened since the backup, as far as it was made true again. */
export interface Replayed {
  readonly stops: number;
  readonly keys: number;
  /** Changes of rules that the backup does not have, by kind: policies, secrets, authorities and the like. */
  readonly missing: Readonly<Record<string, number>>;
}

/** Goes through the entries of a newer ledger, in order. The caller holds the transaction. */
export class Replay {
  readonly #database: SqliteDatabase;
  /** What stopped somebody up to this epoch is in the backup, and takes no second one: epochs are counted to see what is missing. */
  readonly #knownEpoch: number;
  readonly #missing = new Map<string, number>();
  /** Ids of the backups that the ledger tells of. */
  readonly backups = new Set<string>();
  readonly admins = new AdminsSince();
  #stops = 0;
  #keys = 0;

  constructor(database: SqliteDatabase) {
    this.#database = database;
    this.#knownEpoch = readEpoch(database);
  }

  get result(): Replayed {
    return { stops: this.#stops, keys: this.#keys, missing: Object.fromEntries(this.#missing) };
  }

  take(entry: Uint8Array): void {
    if (isShardMark(entry)) return;
    const envelope = parseEnvelope(parseUtf8(entry));
    if (envelope.payloadType !== payloadTypeOf("control")) return;
    const record = parseControlRecord(parseUnverifiedPayload(envelope));
    raiseClockFloor(this.#database, Date.parse(record.time));
    this.#keepKeys(record);
    const backup = backupIdOf(record.details);
    if (record.kind === "admin" && backup !== null) this.backups.add(backup);
    this.admins.take(record);
    if (!record.allow || HARMLESS.has(record.kind) || isPassing(record)) return;
    if (record.epoch <= this.#knownEpoch && STOPS.includes(record.kind)) return;
    if (this.#stop(record)) this.#stops += 1;
    else this.#missing.set(record.kind, (this.#missing.get(record.kind) ?? 0) + 1);
  }

  /** Whether it is a stop that this server knows how to repeat. What is stopped and was born later is not there to be stopped. */
  #stop({ kind, subject, details, time, principal }: ControlRecord): boolean {
    if (kind === "person") return repeatPeople(this.#database, { details, time });
    const context: CommandContext = { nowMs: Date.parse(time), principal, peer: "restore", intent: null };
    if (kind === "revoke") {
      const { target_kind: of, target_id: id } = details;
      const target = TARGETS.find((known) => known === of);
      if (target === undefined || typeof id !== "string") return false;
      const reason = "repeated by a restore";
      // Whose jobs, where the event says so; else everybody's, which is never less than what was stopped.
      const ownerId = principal.startsWith(OWNER) ? principal.slice(OWNER.length) : null;
      ifThere(() => revoke(this.#database, { context, target: { kind: target, id }, ownerId, reason }));
      return true;
    }
    if (kind === "narrow") {
      const { instance_id: instanceId, scope } = details;
      if (typeof instanceId !== "string" || !Array.isArray(scope)) return false;
      ifThere(() => narrow(this.#database, { context, instanceId, scope: parseScope(scope.map(String)) }));
      return true;
    }
    if (kind === "transfer") return this.#give({ subject, details, context });
    if (kind !== "entry") return false;
    // An entry that was made since is gone, which is safe: its owner registers it again.
    if (details.change === "remove" && subject !== null)
      ifThere(() => removeEntry(this.#database, { context, entryId: subject }));
    return true;
  }

  #give({
    subject,
    details,
    context,
  }: Pick<ControlRecord, "subject" | "details"> & { readonly context: CommandContext }): boolean {
    const { owner } = details;
    if (typeof owner !== "string" || subject === null) return false;
    ifThere(() => repeatTransfer(this.#database, { context, agentId: subject, ownerId: owner }));
    return true;
  }

  /** No key is ever certified twice, also not one that was first certified after the backup. */
  #keepKeys({ details, subject }: ControlRecord): void {
    for (const [name, chain] of Object.entries(details)) {
      if (!name.endsWith("svid_chain") || !Array.isArray(chain)) continue;
      const [leaf] = chain;
      if (typeof leaf !== "string") continue;
      const spki = encodeSpki(parseCertificate(parseBase64(leaf)).publicKey);
      const { changes } = this.#database.run(KEEP_KEY, encodeBase64url(sha256(spki)), subject ?? "restore");
      this.#keys += changes;
    }
  }
}

/** When a restore happens. */
export interface RestoreMoment {
  /** Largest epoch that was ever announced, as far as anybody knows. */
  readonly epoch: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/** What holds for every restored state; last, since it takes the epoch. @returns the epoch. */
export function closePast(database: SqliteDatabase, { epoch, nowMs }: RestoreMoment): number {
  const next = Math.max(epoch, readEpoch(database)) + 1;
  const now = Math.floor(nowMs / 1000);
  raiseEnrolmentFloor(database, nowMs / 1000);
  raiseClockFloor(database, nowMs);
  database.run(END_TOKENS, now);
  database.run(FORGET_APPROVALS);
  database.run(END_SESSIONS, now);
  database.run(SPEND_LINKS, now);
  database.run(FORGET_CONFIRMATIONS);
  database.run(FORGET_CLAIMS);
  database.run(ANNOUNCE, next);
  return next;
}

/**
 * Ends everything that was alive. Owners are ended for good but for those that the operator vouches for; these enrol their agents anew,
 * under the same names.
 *
 * @param vouched - names of owners.
 * @param agreeing - people who keep their passkeys until two of them have agreed to the restore.
 * @throws TrustWardenError `owner_unknown` for a name that no living owner of the backup has.
 */
export function voidEverything(
  database: SqliteDatabase,
  {
    epoch,
    nowMs,
    vouched,
    agreeing,
  }: RestoreMoment & { readonly vouched: readonly string[]; readonly agreeing: readonly string[] },
): number {
  const owners = database.all(OWNERS).map((row) => ({ id: row.text("owner_id"), name: row.text("name") }));
  const unknown = vouched.find((name) => !owners.some((owner) => owner.name === name));
  if (unknown !== undefined) throw new TrustWardenError("owner_unknown", { name: unknown });
  const taken = closePast(database, { epoch, nowMs });
  const now = Math.floor(nowMs / 1000);
  dateEpoch(database, { epoch: taken, at: now });
  database.run(END_INSTANCES, taken);
  database.run(END_AGENTS, now);
  database.run(END_ENTRIES, taken);
  database.run(FORGET_NODES);
  database.run(REMOVE_PASSKEYS, now, JSON.stringify(agreeing));
  database.run(FORGET_SUBJECTS);
  for (const { id, name } of owners) if (!vouched.includes(name)) database.run(END_OWNER, taken, id);
  return taken;
}

/** What changes nothing that the backup has. */
function isPassing(record: ControlRecord): boolean {
  const isOffer = record.kind === "transfer" && record.details.change === "offer";
  return (
    isOffer ||
    isTokenIssued(record) ||
    isTurn(record) ||
    isRestore(record) ||
    backupIdOf(record.details) !== null
  );
}

function isTokenIssued({ kind, details }: ControlRecord): boolean {
  return kind === "token" && details.change === "issue";
}

/** An earlier restore, and that two admins agreed to it: this one is agreed to by itself. */
function isRestore({ kind, details }: ControlRecord): boolean {
  return kind === "admin" && typeof details.restore === "string";
}

/** That the ledger has turned to another shard is read from the ledger itself. */
function isTurn({ kind, details }: ControlRecord): boolean {
  return kind === "admin" && details.route === TURN_ROUTE;
}

function ifThere(stop: () => unknown): void {
  try {
    stop();
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.code !== "not_found") throw error;
  }
}
