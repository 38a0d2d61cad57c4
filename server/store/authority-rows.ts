/**
 * The authority in the state store: slots, sequence and successions, all public. The private keys are elsewhere
 * (docs/storage.md); the state is here so that a step and its event commit together.
 */
import type {
  AuthorityKind,
  AuthoritySlot,
  KeyCustody,
  SlotState,
} from "@trustwarden/core/agentid/authority-slots.ts";
import type { KeptKey, StoredAuthority } from "./authority-ports.ts";
import type { Row, SqliteDatabase } from "./sqlite-database.ts";

/** A pin older than this many changes of the roots leads nowhere; roots live for years. */
const MAX_SUCCESSIONS = 32;

const READ_SEQUENCE = "SELECT value FROM meta WHERE name = 'authority_sequence'";
const KEEP_SEQUENCE = `
  INSERT INTO meta (name, value) VALUES ('authority_sequence', ?)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value`;
const READ_SLOTS = "SELECT * FROM authority_slots ORDER BY prepared_at, slot_id";
const KEEP_SLOT = `
  INSERT INTO authority_slots (slot_id, kind, state, spki, custody, key_ref, certificate, issuer_id, expires_at,
    prepared_at, activated_at, superseded_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (slot_id) DO UPDATE SET state = excluded.state, activated_at = excluded.activated_at,
    superseded_at = excluded.superseded_at`;
const KEEP_SUCCESSION = "INSERT INTO successions (sequence, signer_id, envelope) VALUES (?, ?, ?)";
/** What a root that was revoked since has signed is worth nothing. */
const READ_SUCCESSIONS = `
  SELECT envelope FROM successions JOIN authority_slots ON slot_id = signer_id
  WHERE authority_slots.state <> 'revoked' ORDER BY sequence DESC LIMIT ${MAX_SUCCESSIONS}`;

const KEEP_KEY = "INSERT INTO authority_keys (slot_id, sealed) VALUES (?, ?)";
const READ_KEYS = `
  SELECT authority_keys.slot_id, authority_slots.kind, sealed FROM authority_keys
  JOIN authority_slots ON authority_slots.slot_id = authority_keys.slot_id`;
const FORGET_KEYS = `
  DELETE FROM authority_keys WHERE slot_id IN
    (SELECT slot_id FROM authority_slots WHERE state IN ('retired', 'revoked'))`;

const KINDS: readonly AuthorityKind[] = ["root", "intermediate", "jwt", "wit"];
const STATES: readonly SlotState[] = ["prepared", "active", "superseded", "retired", "tainted", "revoked"];
const CUSTODIES: readonly KeyCustody[] = ["sealed", "pkcs11", "aws-kms"];

/** The authority; sequence 0 without slots before the trust domain was founded. */
export function readAuthority(database: SqliteDatabase): StoredAuthority {
  return {
    sequence: Number(database.get(READ_SEQUENCE)?.text("value") ?? 0),
    slots: database.all(READ_SLOTS).map(parseSlot),
    successions: database.all(READ_SUCCESSIONS).map((row) => row.text("envelope")),
  };
}

/** Keeps every slot of a state; what identifies a slot never changes. */
export function writeAuthority(
  database: SqliteDatabase,
  { sequence, slots }: Pick<StoredAuthority, "sequence" | "slots">,
): void {
  database.run(KEEP_SEQUENCE, String(sequence));
  for (const slot of slots) {
    database.run(
      KEEP_SLOT,
      slot.id,
      slot.kind,
      slot.state,
      slot.spki,
      slot.custody,
      slot.keyRef,
      slot.certificate,
      slot.issuerId,
      slot.expiresAt,
      slot.preparedAt,
      slot.activatedAt,
      slot.supersededAt,
    );
  }
}

/** Keeps a succession. */
export function writeSuccession(
  database: SqliteDatabase,
  succession: { readonly sequence: number; readonly signerId: string; readonly envelope: string },
): void {
  database.run(KEEP_SUCCESSION, succession.sequence, succession.signerId, succession.envelope);
}

/** Keeps a key for the other servers of the store. */
export function writeKeptKey(database: SqliteDatabase, { id, sealed }: Pick<KeptKey, "id" | "sealed">): void {
  database.run(KEEP_KEY, id, sealed);
}

/** What other servers made, or this one. */
export function readKeptKeys(database: SqliteDatabase): readonly KeptKey[] {
  return database.all(READ_KEYS).map((row) => ({
    id: row.text("slot_id"),
    kind: oneOf(row.text("kind"), KINDS),
    sealed: row.bytes("sealed"),
  }));
}

/** Of slots whose keys are done with. */
export function forgetKeptKeys(database: SqliteDatabase): void {
  database.run(FORGET_KEYS);
}

function parseSlot(row: Row): AuthoritySlot {
  return {
    id: row.text("slot_id"),
    kind: oneOf(row.text("kind"), KINDS),
    state: oneOf(row.text("state"), STATES),
    spki: row.bytes("spki"),
    custody: oneOf(row.text("custody"), CUSTODIES),
    keyRef: row.textOrNull("key_ref"),
    certificate: row.bytesOrNull("certificate"),
    issuerId: row.textOrNull("issuer_id"),
    expiresAt: row.integerOrNull("expires_at"),
    preparedAt: row.integer("prepared_at"),
    activatedAt: row.integerOrNull("activated_at"),
    supersededAt: row.integerOrNull("superseded_at"),
  };
}

function oneOf<T extends string>(text: string, allowed: readonly T[]): T {
  const found = allowed.find((known) => known === text);
  if (found === undefined) throw new Error("the authority's table holds an unknown word");
  return found;
}
