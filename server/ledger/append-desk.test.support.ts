/**
 * A sequencer with its desk, in a process of its own that a test ends at any instant: `<place and login as JSON>`.
 *
 * Waits until the log is free, and says so when it is the sequencer.
 */
import { writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { readPrivateFile } from "../signer/private-file.ts";
import { type LogPlace, sequencerOf } from "../store/log-place.test.support.ts";
import { type LoginSettings, openPostgresLogin } from "../store/postgres-login.ts";
import { PostgresAppendPost } from "../store/postgres-state/append-rows.ts";
import { AppendDesk } from "./append-desk.ts";

const POLL_MS = 50;
const [text = ""] = process.argv.slice(2);
const told: { readonly place: LogPlace; readonly login: LoginSettings } = JSON.parse(
  JSON.stringify(parseJsonObject(text)),
);

async function startSequencer() {
  for (;;) {
    const sequencer = sequencerOf(told.place, { onFatal: () => process.exit(3) });
    try {
      await sequencer.start();
      return sequencer;
    } catch (error) {
      if (!(error instanceof TrustWardenError) || error.code !== "data_locked") throw error;
      await setTimeout(POLL_MS);
    }
  }
}

const log = await startSequencer();
const post = new PostgresAppendPost(() => openPostgresLogin(told.login, "state.postgres", readPrivateFile));
await AppendDesk.open({ post, log });
writeSync(1, "ready\n");
