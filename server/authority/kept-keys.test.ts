/** Keys that came with the state: taken where they were sealed for, and nowhere else. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeSealedFile } from "../signer/sealed-file.ts";
import { openUnsealKey } from "../signer/unseal-key.ts";
import type { KeptKey } from "../store/authority-ports.ts";
import { createTakeKept } from "./kept-keys.ts";

const root = mkdtempSync(join(tmpdir(), "kept-keys-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const ID = "ab".repeat(20);
const random = (length: number) => new Uint8Array(randomBytes(length));
const SECRET = random(48);
const configDir = join(root, "config");
const first = placeOf("first");
const unsealKey = openUnsealKey({ ...first, create: true, random });
const broken = expect.objectContaining({ code: "seal_broken" });

function placeOf(name: string) {
  const dataDir = join(root, name);
  mkdirSync(join(dataDir, "keys"), { recursive: true, mode: 0o700 });
  return { configDir, dataDir, trustDomain: "acme.test" };
}

/** A key as the first server sealed it. */
function keptAs(kind: KeptKey["kind"]): KeptKey {
  const path = join(first.dataDir, "keys", `${kind}-${ID}.key`);
  writeSealedFile({ path, purpose: `${kind}-key`, unsealKey }, SECRET);
  return { id: ID, kind, sealed: new Uint8Array(readFileSync(path)) };
}

describe("a key that another server made", () => {
  it("is taken once, and lies where the next start finds it; a root's only lies there", () => {
    const again = createTakeKept(placeOf("third"), random);
    expect([...again([keptAs("intermediate")])]).toEqual([[ID, { kind: "sealed", pkcs8: SECRET }]]);
    expect([...again([keptAs("intermediate")])]).toEqual([]);
    expect([...createTakeKept(placeOf("third"), random)([keptAs("root")])]).toEqual([]);
    expect(readdirSync(join(root, "third", "keys")).sort()).toEqual([
      `intermediate-${ID}.key`,
      `root-${ID}.key`,
    ]);
  });

  it.each([
    [
      "altered bytes",
      (kept: KeptKey) => ({
        ...kept,
        sealed: kept.sealed.map((byte, index) => (index === 60 ? byte ^ 1 : byte)),
      }),
    ],
    ["another kind", (kept: KeptKey) => ({ ...kept, kind: "jwt" as const })],
    ["another slot", (kept: KeptKey) => ({ ...kept, id: "cd".repeat(20) })],
    ["a name that leads elsewhere", (kept: KeptKey) => ({ ...kept, id: `x/../../intermediate-${ID}` })],
  ])("is refused with %s, and leaves no file", (_what, alter) => {
    const place = placeOf("refusing");
    expect(() => createTakeKept(place, random)([alter(keptAs("intermediate"))])).toThrow(broken);
    expect(readdirSync(join(place.dataDir, "keys"))).toEqual([]);
    expect(existsSync(join(place.dataDir, `intermediate-${ID}.key`))).toBe(false);
  });
});
