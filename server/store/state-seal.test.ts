/** The seal on the state database: every change while no server runs is noticed, wherever it is. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  breakStateSeal,
  removeStateSeal,
  type StateSealPlace,
  sealState,
  verifyStateSeal,
} from "./state-seal.ts";

const CHUNK_BYTES = 1_048_576;
const SIZE = 2 * CHUNK_BYTES + 12_345;
const FLIPS = 60;

let root: string;
let place: StateSealPlace;
const state = () => join(place.dataDir, "state.db");
const sealFile = () => join(place.configDir, "acme.test.state-seal");

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "seal-"));
  place = { dataDir: join(root, "data"), configDir: join(root, "config"), trustDomain: "acme.test" };
  mkdirSync(place.dataDir);
  writeFileSync(state(), Buffer.alloc(SIZE, 7));
  await sealState(place);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("a sealed state", () => {
  it("is opened as it was closed, once", async () => {
    expect(await verifyStateSeal(place)).toBe("sealed");
    await breakStateSeal(place);
    expect(existsSync(sealFile())).toBe(false);
    expect(await verifyStateSeal(place)).toBe("open");
    await breakStateSeal(place);
  });

  it("is refused with any single bit flipped, with the place, and opened when it is put right", async () => {
    const sound = readFileSync(state());
    for (let flip = 0; flip < FLIPS; flip += 1) {
      const at = flip === 0 ? SIZE - 1 : Math.floor(Math.random() * SIZE);
      const bent = Buffer.from(sound);
      bent[at] = (bent[at] ?? 0) ^ (1 << (flip % 8));
      writeFileSync(state(), bent);
      const from = Math.floor(at / CHUNK_BYTES) * CHUNK_BYTES;
      const reason = `bytes ${from} to ${Math.min(SIZE, from + CHUNK_BYTES)} differ`;
      await expect(breakStateSeal(place)).rejects.toMatchObject({
        code: "state_changed",
        details: { reason },
      });
    }
    writeFileSync(state(), sound);
    await breakStateSeal(place);
  });

  it.each([
    ["shorter", () => truncateSync(state(), SIZE - 1)],
    ["shorter by a whole part", () => truncateSync(state(), 2 * CHUNK_BYTES)],
    ["longer", () => appendFileSync(state(), "x")],
    ["gone", () => rmSync(state())],
    ["written to beside the file", () => writeFileSync(`${state()}-wal`, "x")],
    ["sealed by what cannot be read", () => writeFileSync(sealFile(), "{}")],
  ])("is refused when it is %s, and stays sealed", async (_, change) => {
    change();
    await expect(breakStateSeal(place)).rejects.toMatchObject({ code: "state_changed" });
    expect(existsSync(sealFile())).toBe(true);
  });

  it("is not sealed while something lies beside it that is not folded in, or when there is none", async () => {
    await removeStateSeal(place);
    writeFileSync(`${state()}-wal`, "x");
    await sealState(place);
    expect(existsSync(sealFile())).toBe(false);
    rmSync(`${state()}-wal`);
    rmSync(state());
    await sealState(place);
    expect(existsSync(sealFile())).toBe(false);
  });
});
