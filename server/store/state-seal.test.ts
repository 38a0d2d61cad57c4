/** The seal on the state database: every change while no server runs is noticed, wherever it is. */
import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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
const random = (length: number) => new Uint8Array(randomBytes(length));

let root: string;
let place: StateSealPlace;
const state = () => join(place.dataDir, "state.db");
const sealFile = () => join(place.configDir, "acme.test.state-seal");

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "seal-"));
  place = { dataDir: join(root, "data"), configDir: join(root, "config"), trustDomain: "acme.test" };
  mkdirSync(place.dataDir);
  writeFileSync(state(), Buffer.alloc(SIZE, 7));
  await sealState(place, random);
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

  it("is refused with two of its parts exchanged", async () => {
    await removeStateSeal(place);
    const sound = Buffer.concat([Buffer.alloc(CHUNK_BYTES, 1), Buffer.alloc(CHUNK_BYTES, 2)]);
    writeFileSync(state(), sound);
    await sealState(place, random);
    writeFileSync(state(), Buffer.concat([sound.subarray(CHUNK_BYTES), sound.subarray(0, CHUNK_BYTES)]));
    await expect(breakStateSeal(place)).rejects.toMatchObject({ code: "state_changed" });
  });

  it("is held against the seal of an older server, made of digests", async () => {
    const parts = [0, CHUNK_BYTES, 2 * CHUNK_BYTES].map((at) =>
      readFileSync(state()).subarray(at, at + CHUNK_BYTES),
    );
    const sha256 = parts.map((part) => createHash("sha256").update(part).digest("base64"));
    writeFileSync(sealFile(), JSON.stringify({ v: 1, size: SIZE, chunk_bytes: CHUNK_BYTES, sha256 }));
    expect(await verifyStateSeal(place)).toBe("sealed");
    writeFileSync(
      sealFile(),
      JSON.stringify({ v: 1, size: SIZE, chunk_bytes: CHUNK_BYTES, sha256: sha256.toReversed() }),
    );
    await expect(breakStateSeal(place)).rejects.toMatchObject({ code: "state_changed" });
  });

  it("has a key of its own in each seal, which nobody else may read", async () => {
    const keyOf = () => JSON.parse(readFileSync(sealFile(), "utf8")).key;
    const before = keyOf();
    expect(statSync(sealFile()).mode & 0o777).toBe(0o600);
    await breakStateSeal(place);
    await sealState(place, random);
    expect(keyOf()).not.toBe(before);
  });

  it.each([
    ["shorter", () => truncateSync(state(), SIZE - 1)],
    ["shorter by a whole part", () => truncateSync(state(), 2 * CHUNK_BYTES)],
    ["longer", () => appendFileSync(state(), "x")],
    ["gone", () => rmSync(state())],
    ["written to beside the file", () => writeFileSync(`${state()}-wal`, "x")],
    ["to be rolled back by a journal", () => writeFileSync(`${state()}-journal`, "x")],
    ["sealed by what cannot be read", () => writeFileSync(sealFile(), "{}")],
  ])("is refused when it is %s, and stays sealed", async (_, change) => {
    change();
    await expect(breakStateSeal(place)).rejects.toMatchObject({ code: "state_changed" });
    expect(existsSync(sealFile())).toBe(true);
  });

  it("is not sealed while something lies beside it that is not folded in, or when there is none", async () => {
    await removeStateSeal(place);
    writeFileSync(`${state()}-wal`, "x");
    await sealState(place, random);
    expect(existsSync(sealFile())).toBe(false);
    rmSync(`${state()}-wal`);
    rmSync(state());
    await sealState(place, random);
    expect(existsSync(sealFile())).toBe(false);
  });
});

/** A rollback journal that makes a page of a database what it says; as a crash in another journal mode leaves it. */
function journalOf({ page, number, pages }: { page: Buffer; number: number; pages: number }): Buffer {
  const header = Buffer.alloc(512);
  Buffer.from("d9d505f920a163d7", "hex").copy(header);
  header.writeUInt32BE(1, 8);
  header.writeUInt32BE(pages, 16);
  header.writeUInt32BE(512, 20);
  header.writeUInt32BE(page.length, 24);
  const record = Buffer.alloc(page.length + 8);
  record.writeUInt32BE(number, 0);
  page.copy(record, 4);
  let sum = 0;
  for (let at = page.length - 200; at > 0; at -= 200) sum += page[at] ?? 0;
  record.writeUInt32BE(sum, page.length + 4);
  return Buffer.concat([header, record]);
}

it("is not what it says while a journal lies beside it: SQLite would roll the file back to what stands there", async () => {
  const rowOf = () => {
    const opened = new DatabaseSync(state());
    const row = opened.prepare("select word from t").get();
    opened.close();
    return row?.word;
  };
  rmSync(state());
  const database = new DatabaseSync(state());
  database.exec("pragma journal_mode = wal; create table t (word text); insert into t values ('revoked')");
  database.close();
  const [size, sound] = [4096, readFileSync(state())];
  await sealState(place, random);
  const page = Buffer.from(sound.subarray(size, 2 * size));
  page.write("current", page.indexOf("revoked"));
  const journal = journalOf({ page, number: 2, pages: sound.length / size });
  writeFileSync(`${state()}-journal`, journal);
  await expect(breakStateSeal(place)).rejects.toMatchObject({ code: "state_changed" });
  expect(rowOf()).toBe("current");
});
