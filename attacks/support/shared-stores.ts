/**
 * Store and ledger of two servers, as a program: Debian's PostgreSQL and an object store. Says with which settings a server shares
 * them, and ends when it is told to.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { settingsOf, startStores, writeSecrets } from "../../test/support/replicas.ts";

const configDir = mkdtempSync(join(tmpdir(), "tw-stores-"));
const { state, login, objects } = await startStores();
writeSecrets({ configDir });
const place = { home: { configDir }, database: { port: state.postgresql.port } };
const settings = settingsOf(place, { login, objects, settings: {} });

process.once("SIGTERM", async () => {
  await objects.close();
  await state.close();
  rmSync(configDir, { recursive: true, force: true });
  process.exit(0);
});
process.stdout.write(`${JSON.stringify({ ready: true, settings })}\n`);
