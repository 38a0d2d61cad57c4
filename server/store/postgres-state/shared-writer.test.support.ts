/**
 * One of several writers of a store, in a process of its own that a test ends at any instant: `<file>`, which holds the
 * options of the store and the owner whose agents it issues, by V8's own encoding.
 *
 * Begins once a line comes on standard input, and writes each ticket with what became of it.
 */
import { readFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { deserialize } from "node:v8";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { NOW_MS, ticketCommand } from "../commands/fixture.test.support.ts";
import { createSqliteStore, type SqliteStoreOptions } from "../sqlite.ts";

/** What such a process is told. */
export interface SharedWork {
  readonly store: Pick<SqliteStoreOptions, "dataDir" | "keys" | "rules" | "remote">;
  readonly ownerId: string;
  /** Ids of the tickets, in turn; several writers may be given the same ones. */
  readonly tickets: readonly string[];
}

const [file = ""] = process.argv.slice(2);
// The test that starts this process wrote it.
const { store: options, ownerId, tickets }: SharedWork = deserialize(readFileSync(file));
const store = await createSqliteStore({ ...options, nowMs: () => NOW_MS, onFatal: () => process.exit(3) });
writeSync(1, "ready\n");
await new Promise((resolve) => createInterface(process.stdin).once("line", resolve));
for (const [at, jti] of tickets.entries()) {
  try {
    const { value } = await store.commands.issue(ticketCommand(ownerId, { jti, name: `agent-${at}` }));
    writeSync(1, `${jti} ${value.instanceId}\n`);
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    writeSync(1, `${jti} ${error.code}\n`);
  }
}
await store.close();
process.exit(0);
