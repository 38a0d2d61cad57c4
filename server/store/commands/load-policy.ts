/**
 * Puts a custom policy in force: its bundle, its event and its epoch in one transaction.
 *
 * Who signed it is checked before; here it is only newer than what is in force, whatever its name, so that nobody brings
 * an earlier policy back by showing it again (E5), and none that was stopped.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LoadPolicyCommand } from "../policy-ports.ts";
import { findPolicy } from "../policy-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { createStopReads } from "../stop-rows.ts";
import { type CommandResult, secondsOf } from "./deps.ts";
import { advanceEpoch } from "./epoch.ts";

const REPLACE = `
  INSERT OR REPLACE INTO custom_policy (only, name, version, key_id, bundle, sha256, loaded_at)
  VALUES (1, ?, ?, ?, ?, ?, ?)`;

/** @throws TrustWardenError `policy_stopped`, `policy_rollback`. */
export function loadPolicy(
  database: SqliteDatabase,
  command: LoadPolicyCommand,
): CommandResult<{ readonly version: number }> {
  const { name, version, keyId, bundle, sha256, policySha256, context } = command;
  const { isStopped } = createStopReads(database);
  if ([sha256, policySha256].some((id) => isStopped({ kind: "policy", id, ownerId: "" })))
    throw new TrustWardenError("policy_stopped", { name, version });
  const current = findPolicy(database)?.version ?? 0;
  if (version <= current) throw new TrustWardenError("policy_rollback", { version, current });
  database.run(REPLACE, name, version, keyId, bundle, sha256, secondsOf(context));
  advanceEpoch(database, { kind: "policy", id: "*" });
  return {
    value: { version },
    draft: {
      kind: "policy",
      allow: true,
      reasons: [],
      subject: `${name}-v${version}`,
      chain: [],
      details: {
        change: "load",
        name,
        version,
        key_id: keyId,
        bundle_sha256: sha256,
        policy_sha256: policySha256,
      },
    },
  };
}
