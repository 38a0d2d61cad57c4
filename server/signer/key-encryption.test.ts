/** Key-encryption keys are sealed outside the data directory, follow one another by number, and open only their own. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectCode, expectRejection } from "../../test/support/expect-code.ts";
import { KeyEncryptionKeys, type KeyEncryptionPlace } from "./key-encryption.ts";
import { UnsealKey } from "./unseal-key.ts";

const CONTEXT = encodeUtf8("context");
const unsealKey = new UnsealKey(randomBytes(32), randomBytes);
let directory: string;

const open = (key = unsealKey, place: Partial<KeyEncryptionPlace> = {}) =>
  new KeyEncryptionKeys({
    ...{ directory: join(directory, "keys"), unsealKey: key, random: randomBytes },
    ...{ custody: "sealed", token: null, kms: null },
    ...place,
  });
const fileOf = (id: string) => join(directory, "keys", `${id}.key`);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tw-kek-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("key-encryption keys", () => {
  it("are none before the first, and come back after a restart in their order", async () => {
    const keys = open();
    expect(keys.ids()).toEqual([]);
    const made: string[] = [];
    for (let count = 0; count < 12; count += 1) made.push(await keys.create());
    expect(keys.ids()).toEqual(made);
    expect(open().ids()).toEqual(made);
  });

  it("unwrap what they wrapped, under the same context only", async () => {
    const keys = open();
    const [first, second] = [await keys.create(), await keys.create()];
    const key = randomBytes(32);
    const wrapped = await keys.wrap(first, { key, context: CONTEXT });
    expect(Buffer.from(await open().unwrap(first, { key: wrapped, context: CONTEXT }))).toEqual(key);
    await expectRejection(keys.unwrap(second, { key: wrapped, context: CONTEXT }), "seal_broken");
    await expectRejection(keys.unwrap(first, { key: wrapped, context: encodeUtf8("other") }), "seal_broken");
  });

  it("are gone when they are destroyed", async () => {
    const keys = open();
    const id = await keys.create();
    await keys.remove(id);
    expect(open().ids()).toEqual([]);
    await expectRejection(keys.wrap(id, { key: randomBytes(32), context: CONTEXT }), "secret_unavailable");
  });

  it("do not lie in the clear, and do not open under another unseal key or another name", async () => {
    const first = await open().create();
    const second = await open().create();
    expect(readFileSync(fileOf(first)).length).toBeGreaterThan(32);
    expectCode(() => open(new UnsealKey(randomBytes(32), randomBytes)), "seal_broken");
    renameSync(fileOf(first), fileOf(second));
    expectCode(() => open(), "seal_broken");
  });

  it("are not read from a file that others may read, and leave out what is no key", async () => {
    const id = await open().create();
    writeFileSync(join(directory, "keys", "kek_00000009_x.key.tmp"), "x");
    expect(open().ids()).toEqual([id]);
    chmodSync(fileOf(id), 0o644);
    expectCode(() => open(), "file_mode_too_open");
  });
});
