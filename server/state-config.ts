/** Where the state is kept: on this machine's disk, or in PostgreSQL. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { type ledgerSettings, postgresSettings, requireProtected } from "./ledger/config.ts";
import { natsSettings, requireProtectedNats } from "./nats/config.ts";
import type { StateSettings } from "./store/postgres-state/protocol.ts";

/** A server that is started again at once after a crash finds its own lock for a moment. */
const LOCK_WAIT_MS = 5000;

/** Of `state` in the configuration. */
export const stateSettings = z.discriminatedUnion("storage", [
  z.strictObject({ storage: z.literal("sqlite") }),
  z.strictObject({
    storage: z.literal("postgres"),
    postgres: postgresSettings.extend({
      statementTimeoutMs: z
        .number()
        .int()
        .min(100)
        .max(60_000)
        .default(3000)
        .describe("whatever stops somebody waits so long at most for a database that does not answer"),
    }),
    standby: z
      .boolean()
      .default(false)
      .describe(
        "several servers take turns: each waits for the one before, and ends when it loses the database",
      ),
    servers: z
      .enum(["one", "many"])
      .default("one")
      .describe("`many`: several servers write the store and the ledger at once, and any of them may end"),
    notices: natsSettings
      .optional()
      .describe("by which several servers tell one another that there is news, instead of the database"),
  }),
]);

type State = z.output<typeof stateSettings>;

/** What the writer is told; undefined for this machine's disk. */
export function remoteStateOf(state: State): StateSettings | undefined {
  if (state.storage === "sqlite") return undefined;
  const { sessionTimeoutMs, statementTimeoutMs, ...login } = state.postgres;
  const lockWaitMs = state.standby ? null : LOCK_WAIT_MS;
  const isMany = isShared(state);
  const goesOn = !state.standby && !isMany;
  const hasNotices = state.notices !== undefined;
  return { login, sessionTimeoutMs, statementTimeoutMs, lockWaitMs, goesOn, isShared: isMany, hasNotices };
}

/** Whether other servers write the same store at the same time. */
export function isShared(state: State): boolean {
  return state.storage === "postgres" && state.servers === "many";
}

/** Whether another server may go on with what this one wrote: at the same time, or after it. */
export function hasOthers(state: State): boolean {
  return isShared(state) || (state.storage === "postgres" && state.standby);
}

/**
 * @throws TrustWardenError `config_invalid` for a database beyond this machine without TLS, and for servers that take
 *   turns with a ledger that only one of them has.
 */
export function requireProtectedState(state: State, ledger: z.output<typeof ledgerSettings>): void {
  if (state.storage === "sqlite") return;
  requireProtected(state.postgres, "state.postgres");
  requireNotices(state);
  if (state.standby && 2 * state.postgres.statementTimeoutMs > state.postgres.sessionTimeoutMs) {
    // Else one that is cut off would answer its verifiers when another has taken its place.
    const reason = "servers that take turns notice a lost database in half of sessionTimeoutMs";
    throw new TrustWardenError("config_invalid", { setting: "state.postgres.statementTimeoutMs", reason });
  }
  if (state.standby && ledger.storage !== "postgres") {
    const reason = "servers that take turns need a ledger that each of them reaches";
    throw new TrustWardenError("config_invalid", { setting: "state.standby", reason });
  }
}

function requireNotices({ notices, servers }: Extract<State, { storage: "postgres" }>): void {
  if (notices === undefined) return;
  if (servers !== "many") {
    const reason = "a server that has its store alone tells nobody";
    throw new TrustWardenError("config_invalid", { setting: "state.notices", reason });
  }
  requireProtectedNats(notices);
}
