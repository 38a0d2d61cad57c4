/**
 * Replaces an instance's scope by a subset of it, and takes an epoch, so that decisions on the wider scope go stale.
 * Children keep their own scopes; what they may do is the intersection along the chain, which has just shrunk (C6).
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { findCounterexample, isSubset, parseScope, type Scope } from "@trustwarden/core/scope.ts";
import type { NarrowCommand } from "../revocation-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { formatLine, formatScopeColumn, lineOf } from "../sqlite-instance.ts";
import type { CommandResult } from "./deps.ts";
import { advanceEpoch } from "./epoch.ts";

const NARROW = "UPDATE instances SET scope = ? WHERE instance_id = ?";

/** @throws TrustWardenError `not_found` (also for a verifier, which has no scope) or `scope_not_subset`. */
export function narrow(
  database: SqliteDatabase,
  { instanceId, scope: asked }: NarrowCommand,
): CommandResult<{ readonly scope: Scope }> {
  const line = lineOf(database, instanceId);
  const instance = line.at(-1);
  if (instance?.kind !== "agent") throw new TrustWardenError("not_found", { kind: "instance" });
  const scope = parseScope(asked);
  const pair = { parent: instance.scope, child: scope };
  if (!isSubset(pair)) {
    throw new TrustWardenError("scope_not_subset", { counterexample: findCounterexample(pair) ?? null });
  }
  database.run(NARROW, formatScopeColumn(scope), instanceId);
  advanceEpoch(database, { kind: "narrowed", id: instanceId });
  return {
    value: { scope },
    draft: {
      kind: "narrow",
      allow: true,
      reasons: [],
      subject: instance.spiffeId,
      chain: formatLine(line),
      details: { instance_id: instanceId, scope: [...scope], previous_scope: [...instance.scope] },
    },
  };
}
