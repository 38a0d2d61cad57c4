import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "../error.ts";
import { leafHash } from "./merkle.ts";
import {
  encodeBundle,
  encodeTile,
  formatTilePath,
  parseBundle,
  parseTile,
  parseTilePath,
  tilesOf,
} from "./tile.ts";
import { EMPTY_EDGE, growTree } from "./tree-edge.ts";

const refusal = (code: string) => expect.objectContaining({ code });

describe("tiles", () => {
  it("have the paths of the specification (6)", () => {
    const paths = [0, 999, 1000, 1_234_067].map((index) => formatTilePath({ level: 0, index, width: 256 }));
    expect(paths).toEqual(["tile/0/000", "tile/0/999", "tile/0/x001/000", "tile/0/x001/x234/067"]);
    expect(formatTilePath({ level: "entries", index: 5, width: 17 })).toBe("tile/entries/005.p/17");
  });

  it("are the ones of the specification's example for 70,000 entries (7)", () => {
    const names = tilesOf(70_000);
    const count = (level: number | "entries", isFull: boolean) =>
      names.filter((name) => name.level === level && (name.width === 256) === isFull);
    expect(count(0, true)).toHaveLength(273);
    expect(count(0, false)).toEqual([{ level: 0, index: 273, width: 112 }]);
    expect(count(1, true)).toHaveLength(1);
    expect(count(1, false)).toEqual([{ level: 1, index: 1, width: 17 }]);
    expect(count(2, false)).toEqual([{ level: 2, index: 0, width: 1 }]);
    expect(count("entries", true)).toHaveLength(273);
    expect(names.some(({ level }) => level === 3)).toBe(false);
  });

  it("are one full and one partial of width 1 for 256 entries, and never empty (8)", () => {
    expect(tilesOf(256).filter(({ level }) => level !== "entries")).toEqual([
      { level: 0, index: 0, width: 256 },
      { level: 1, index: 0, width: 1 },
    ]);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200_000 }), (size) =>
        tilesOf(size).every(({ width }) => width > 0),
      ),
    );
  });

  it("are written exactly as they are listed, with 8192 bytes when full and 32 a hash when partial (9)", () => {
    const leaves = Array.from({ length: 70_000 }, () => ({
      entry: Uint8Array.of(1),
      leafHash: leafHash(Uint8Array.of(1)),
    }));
    const { objects } = growTree(EMPTY_EDGE, leaves);
    expect(objects.map(({ path }) => path).sort()).toEqual(tilesOf(70_000).map(formatTilePath).sort());
    for (const { path, bytes } of objects) {
      const { level, width } = parseTilePath(path);
      if (level !== "entries") expect(bytes.length).toBe(width * 32);
    }
  });

  it("hold in each bundle the entries of the hashes in the level 0 tile (10)", () => {
    const leaves = Array.from({ length: 300 }, (_, index) => {
      const entry = Uint8Array.of(index & 255, index >> 8);
      return { entry, leafHash: leafHash(entry) };
    });
    const files = new Map(growTree(EMPTY_EDGE, leaves).objects.map(({ path, bytes }) => [path, bytes]));
    for (const name of tilesOf(300).filter(({ level }) => level === "entries")) {
      const entries = parseBundle(files.get(formatTilePath(name)) ?? new Uint8Array(0), name);
      const hashes = { ...name, level: 0 };
      expect(entries.map(leafHash).map((hash) => Buffer.from(hash))).toEqual(
        parseTile(files.get(formatTilePath(hashes)) ?? new Uint8Array(0), hashes).map((hash) =>
          Buffer.from(hash),
        ),
      );
    }
  });

  it("take an entry of 65,535 bytes in a bundle (11)", () => {
    const name = { level: "entries" as const, index: 0, width: 1 };
    expect(parseBundle(encodeBundle([new Uint8Array(65_535)]), name)[0]?.length).toBe(65_535);
  });

  it("give the first hashes of a wider tile, since a partial one may be gone (13)", () => {
    const hashes = [1, 2, 3].map((byte) => leafHash(Uint8Array.of(byte)));
    expect(parseTile(encodeTile(hashes), { level: 0, index: 0, width: 2 })).toHaveLength(2);
    expect(parseBundle(encodeBundle(hashes), { level: "entries", index: 0, width: 2 })).toHaveLength(2);
  });

  it("are refused when too short, ragged or too long", () => {
    const name = { level: 0, index: 0, width: 2 };
    for (const length of [0, 32, 63, 65, 257 * 32]) {
      expect(() => parseTile(new Uint8Array(length), name)).toThrow(refusal("ledger_corrupt"));
    }
    const bundle = { level: "entries" as const, index: 0, width: 2 };
    for (const bytes of [
      Uint8Array.of(0, 1, 7),
      Uint8Array.of(0, 1, 7, 0),
      Uint8Array.of(0, 1, 7, 0, 2, 1),
      encodeBundle(Array(257).fill(Uint8Array.of(1))),
    ]) {
      expect(() => parseBundle(bytes, bundle)).toThrow(refusal("ledger_corrupt"));
    }
  });

  it("have one path each: it parses back, and no other spelling parses", () => {
    const level = fc.oneof(fc.constant("entries" as const), fc.integer({ min: 0, max: 6 }));
    const name = fc.record({
      level,
      index: fc.integer({ min: 0, max: 2 ** 45 }),
      width: fc.integer({ min: 1, max: 256 }),
    });
    fc.assert(
      fc.property(name, (one) => {
        expect(parseTilePath(formatTilePath(one))).toEqual(one);
      }),
    );
    const wrong = [
      "tile/0/0",
      "tile/00/000",
      "tile/0/x000/000",
      "tile/0/1000",
      "tile/0/x1/000",
      "tile/7/000",
      "tile/64/000",
      "tile/-1/000",
      "tile/0/000.p/0",
      "tile/0/000.p/256",
      "tile/0/000.p/01",
      "tile/0/000.p/",
      "/tile/0/000",
      "tile/0/../0/000",
      "tile/data/000",
      "tile/0/000\n",
      "checkpoint",
      "tile/0/x001/1000",
      `tile/0/${"x001/".repeat(30)}000`,
    ];
    for (const path of wrong) expect(() => parseTilePath(path)).toThrow(refusal("not_found"));
  });

  it("never make a parser do anything but answer or refuse", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 2000 }),
        fc.string(),
        fc.integer({ min: 1, max: 256 }),
        (bytes, path, width) => {
          for (const parse of [
            () => parseTile(bytes, { level: 0, index: 0, width }),
            () => parseBundle(bytes, { level: "entries", index: 0, width }),
            () => parseTilePath(path),
          ]) {
            try {
              parse();
            } catch (error) {
              expect(error).toBeInstanceOf(TrustWardenError);
            }
          }
        },
      ),
    );
  });
});
