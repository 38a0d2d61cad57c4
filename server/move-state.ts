/**
 * Moving the state of a data directory to PostgreSQL, while no server uses it.
 *
 * @see docs/guides/state-storage.md; docs/decisions/0045
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { ServerConfig } from "./config.ts";
import { remoteStateOf, requireProtectedState, stateSettings } from "./state-config.ts";
import { MIGRATIONS } from "./store/migrations/steps.ts";
import { acquirePosixLock } from "./store/posix-lock.ts";
import { type MovedState, moveState } from "./store/postgres-state/move-state.ts";
import { formatStateSchema, formatStateUpgrade } from "./store/postgres-state/schema-text.ts";
import { breakStateSeal, sealState, verifyStateSeal } from "./store/state-seal.ts";

const MAX_SETTINGS_CHARS = 65_536;
const ID_BYTES = 16;

/**
 * Moves the state; the server starts on the database once its configuration names it.
 *
 * @param options.settingsFile - with the section `state` of the configuration to be.
 * @throws TrustWardenError `data_locked` while a server uses the directory, and the codes of `moveState`.
 */
export async function moveStateOf(options: {
  readonly config: ServerConfig;
  readonly settingsFile: string;
  readonly random: Random;
}): Promise<MovedState> {
  const { config, settingsFile, random } = options;
  const parsed = stateSettings.safeParse(readSettings(settingsFile));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(["state", ...(issue?.path ?? [])].join("."), issue?.message ?? "");
  }
  requireProtectedState(parsed.data, config.ledger);
  const settings = remoteStateOf(parsed.data);
  if (settings === undefined) throw invalid("state.storage", "the state is moved to PostgreSQL");
  const lock = acquirePosixLock(join(config.dataDir, "server.lock"));
  try {
    // What is moved is what the server closed; afterwards the file says only where it went.
    const verified = verifyStateSeal(config);
    const before = await verified;
    await breakStateSeal(config, verified);
    try {
      return moveState({ dataDir: config.dataDir, settings, newId: encodeHex(random(ID_BYTES)) });
    } catch (error) {
      // The file is the server's again, with the move's name in it: what nobody else wrote is sealed as it was.
      if (before === "sealed") await sealState(config, random);
      throw error;
    }
  } finally {
    lock.release();
  }
}

/** The statements for whoever owns the database. @param from - the version that it has; null for none. */
export function stateSql(from: number | null): string {
  return from === null ? formatStateSchema(MIGRATIONS) : formatStateUpgrade(MIGRATIONS, from);
}

function readSettings(file: string): unknown {
  try {
    return parseJsonObject(readFileSync(file, "utf8"), MAX_SETTINGS_CHARS);
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting: "to", reason: "cannot be read" }, { cause });
  }
}

function invalid(setting: string, reason: string): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting, reason });
}
