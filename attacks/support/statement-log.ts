/**
 * Loaded before a server: every SQL text that any thread of it gives to SQLite is written to `statements` beside its data,
 * once a thread. Values that are bound to parameters are no part of a text.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";

const SHARED = "attack-statements";

if (isMainThread)
  setEnvironmentData(SHARED, join(process.env.TRUSTWARDEN_DATA_DIR ?? "", "..", "statements"));
const file = String(getEnvironmentData(SHARED));
const written = new Set<string>();

function log(sql: string): void {
  if (written.has(sql)) return;
  written.add(sql);
  appendFileSync(file, `${JSON.stringify(sql)}\n`);
}

const { prepare, exec } = DatabaseSync.prototype;
DatabaseSync.prototype.prepare = function (sql, ...rest) {
  log(sql);
  return prepare.call(this, sql, ...rest);
};
DatabaseSync.prototype.exec = function (sql) {
  log(sql);
  exec.call(this, sql);
};
