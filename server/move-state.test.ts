import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseConfig } from "./config.ts";
import { moveStateOf } from "./move-state.ts";
import { openForWriting } from "./store/schema.ts";
import { sealState, verifyStateSeal } from "./store/state-seal.ts";

describe("a move of the state that fails", () => {
  it("leaves the state sealed, if it was", async () => {
    const home = mkdtempSync(join(tmpdir(), "tw-move-"));
    onTestFinished(() => rmSync(home, { recursive: true }));
    const [dataDir, configDir] = [join(home, "data"), join(home, "config")];
    for (const path of [dataDir, configDir]) mkdirSync(path, { mode: 0o700 });
    const place = { dataDir, configDir, trustDomain: "acme.test" };
    openForWriting(dataDir).close();
    await sealState(place, (length) => new Uint8Array(length));
    expect(await verifyStateSeal(place)).toBe("sealed");
    const settingsFile = join(home, "state.json");
    const postgres = { host: "127.0.0.1", port: 1, database: "none", user: "nobody" };
    writeFileSync(settingsFile, JSON.stringify({ storage: "postgres", postgres }));
    const move = () =>
      moveStateOf({ config: parseConfig(place), settingsFile, random: (length) => new Uint8Array(length) });
    await expect(move()).rejects.toMatchObject({ code: "store_unavailable" });
    expect(await verifyStateSeal(place)).toBe("sealed");
    writeFileSync(join(dataDir, "state.db"), "edited");
    await expect(move()).rejects.toMatchObject({ code: "state_changed" });
  });
});
