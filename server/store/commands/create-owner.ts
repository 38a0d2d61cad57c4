/**
 * Registers an owner by its public key. One key is one owner; the event carries the key, so that tickets in the
 * ledger can be checked offline, and not the name, which may be a person's.
 */
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { CommandContext } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { claimKey } from "./claims.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";

const FIND = "SELECT owner_id FROM owners WHERE name = ? OR spki = ?";
const INSERT = "INSERT INTO owners (owner_id, name, spki, created_at) VALUES (?, ?, ?, ?)";

export interface CreateOwnerCommand {
  readonly context: CommandContext;
  readonly name: string;
  readonly spki: Uint8Array;
}

/** @throws TrustWardenError `owner_exists`, `public_key_refused`, or `key_reused` for a key of another kind of holder. */
export function createOwner(
  database: SqliteDatabase,
  { context, name, spki }: CreateOwnerCommand,
  deps: CommandDeps,
): CommandResult<{ readonly ownerId: string; readonly name: string }> {
  const keyid = formatOwnerKeyid(parseP256PublicKey(spki));
  if (database.get(FIND, name, spki) !== undefined) throw new TrustWardenError("owner_exists");
  const ownerId = `own_${formatUlid(context.nowMs, deps.random)}`;
  claimKey(database, spki, ownerId);
  database.run(INSERT, ownerId, name, spki, secondsOf(context));
  return {
    value: { ownerId, name },
    draft: {
      kind: "owner",
      allow: true,
      reasons: [],
      subject: ownerId,
      chain: [`owner:${ownerId}`],
      details: { owner: ownerId, keyid, spki: encodeBase64(spki) },
    },
  };
}
