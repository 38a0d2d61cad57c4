/**
 * A whole server whose state moves to PostgreSQL, by the statements and settings of docs/guides/state-storage.md. Without
 * Debian's PostgreSQL there is nothing to test, and that is said.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig, type ServerSettings } from "@trustwarden/server/config.ts";
import { moveStateOf } from "@trustwarden/server/move-state.ts";
import { afterAll, describe, expect, it, vi } from "vitest";
import { shareStateServer } from "../server/store/postgres-state/state-server.test.support.ts";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  postEnrolment,
  ticketOf,
  visitIntent,
} from "./support/actors.ts";
import { readGuide } from "./support/guide.ts";
import { codeOf } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { POSTGRESQL_BIN } from "./support/postgresql.ts";
import { createHome, startTestServer, TRUST_DOMAIN } from "./support/server.ts";

const { server: database } = shareStateServer("a server whose state is in PostgreSQL");

describe.skipIf(POSTGRESQL_BIN === undefined)("a server whose state is in PostgreSQL", () => {
  const home = createHome();
  afterAll(() => home.remove());

  it("keeps what it had on its disk, goes on without the database, and issues again when it is back", async () => {
    const before = await startTestServer({}, home);
    const owner = await createOwner(before);
    const agent = await enrolAgent(before, owner);
    await before.close();
    const state = await moveThere();
    await expect(startTestServer({}, home)).rejects.toMatchObject({ code: "config_invalid" });

    const server = await startTestServer({ state }, home);
    const verifier = await enrolVerifier(server);
    const ask = () => askDecision(server, { caller: verifier, agent, intent: visitIntent(agent, verifier) });
    expect((await ask()).status).toBe(200);
    await database.postgresql.stop();
    expect((await ask()).status).toBe(200);
    const refused = await postEnrolment(server, ticketOf(owner, { name: "late" }), createTestSigner());
    expect([refused.status, codeOf(refused)]).toEqual([503, "store_unavailable"]);
    await database.postgresql.start();
    await vi.waitFor(() => enrolAgent(server, owner, { name: "later" }), { timeout: 60_000, interval: 250 });
    await server.close();
  });

  /** As the guide says: the settings in a file, then the move. */
  async function moveThere(): Promise<ServerSettings["state"]> {
    const { login } = await database.create();
    const block = readGuide("state-storage.md").find(({ file }) => file === "state.json");
    const settings = { ...JSON.parse(block?.text ?? "{}"), postgres: login };
    const settingsFile = join(home.dataDir, "state.json");
    writeFileSync(settingsFile, JSON.stringify(settings));
    const { dataDir, configDir } = home;
    const config = parseConfig({ trustDomain: TRUST_DOMAIN, dataDir, configDir });
    const random = (length: number) => new Uint8Array(randomBytes(length));
    const moved = await moveStateOf({ config, settingsFile, random });
    expect(moved.rows).toBeGreaterThan(10);
    // Whoever is not sure that it was done does it again.
    expect(await moveStateOf({ config, settingsFile, random })).toEqual(moved);
    return settings;
  }
});
