/** Passkeys in their transactions: counters that only rise, challenges that count once. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { NewPasskey, PasskeyState, UsedAssertion, UsedChallenge } from "../../people-ports.ts";
import { findPasskey } from "../../people-rows.ts";
import type { SqliteDatabase } from "../../sqlite-database.ts";

/** More keys of one person are more than anybody looks after. */
const MAX_PASSKEYS = 20;

const CLAIM = `
  INSERT INTO claims (kind, issuer, id, expires_at) VALUES ('passkey-challenge', '', ?, ?) ON CONFLICT DO NOTHING`;
const INSERT = `
  INSERT INTO passkeys (credential_id, person_id, spki, counter, is_backup_eligible, is_backed_up, transports,
    created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const COUNT = "SELECT COUNT(*) AS n FROM passkeys WHERE person_id = ? AND removed_at IS NULL";
const REMOVE_ALL = "UPDATE passkeys SET removed_at = ? WHERE person_id = ? AND removed_at IS NULL";
const USED = "UPDATE passkeys SET counter = ?, is_backed_up = ?, last_used_at = ? WHERE credential_id = ?";

/** Uses a challenge up. @throws TrustWardenError `challenge_used`. */
export function claimChallenge(database: SqliteDatabase, { id, expiresAt }: UsedChallenge): void {
  if (database.run(CLAIM, id, expiresAt).changes === 0) throw new TrustWardenError("challenge_used");
}

/** Adds a key that was claimed. @throws TrustWardenError `passkey_reused` for a credential that anybody ever had, `quota_exceeded`. */
export function addPasskey(
  database: SqliteDatabase,
  {
    passkey,
    personId,
    now,
  }: {
    readonly passkey: NewPasskey;
    readonly personId: string;
    readonly now: number;
  },
): void {
  if ((database.get(COUNT, personId)?.integer("n") ?? 0) >= MAX_PASSKEYS) {
    throw new TrustWardenError("quota_exceeded", { of: "passkeys" });
  }
  const { credentialId, spki, counter, isBackupEligible, isBackedUp, transports } = passkey;
  const { changes } = database.run(
    INSERT,
    credentialId,
    personId,
    spki,
    counter,
    isBackupEligible ? 1 : 0,
    isBackedUp ? 1 : 0,
    transports.join(" "),
    now,
  );
  if (changes === 0) throw new TrustWardenError("passkey_reused");
}

/** Ends every passkey of somebody who lost them: whoever has one now is not its holder. They stay taken, for ever. */
export function removePasskeys(
  database: SqliteDatabase,
  { personId, now }: { readonly personId: string; readonly now: number },
): void {
  database.run(REMOVE_ALL, now, personId);
}

/**
 * Takes an assertion of a passkey, once.
 *
 * @throws TrustWardenError `challenge_used`, or `passkey_invalid` for a key that was removed since or whose counter went
 *   back: somebody has a copy of it.
 */
export function acceptAssertion(
  database: SqliteDatabase,
  { assertion, now }: { readonly assertion: UsedAssertion; readonly now: number },
): PasskeyState {
  claimChallenge(database, assertion.challenge);
  const { credentialId, counter, isBackedUp } = assertion;
  const passkey = findPasskey(database, credentialId);
  if (passkey === undefined) throw new TrustWardenError("passkey_invalid", { reason: "unknown" });
  const counts = counter > 0 || passkey.counter > 0;
  if (counts && counter <= passkey.counter) {
    throw new TrustWardenError("passkey_invalid", { reason: "counter", credential_id: credentialId });
  }
  database.run(USED, counter, isBackedUp ? 1 : 0, now, credentialId);
  return passkey;
}
