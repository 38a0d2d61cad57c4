/** Which shard the last leaf of a tree names, to whoever reads no entries. */
import { expect, test } from "vitest";
import { encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { createTestLogSigner } from "./ledger.test.support.ts";
import { leafHash } from "./merkle.ts";
import { findNextShard } from "./next-shard.ts";
import { encodeShardEnd, shardOrigin, vkeyFor } from "./shard.ts";
import { formatVkey, rawEd25519Key } from "./signed-note.ts";
import { EMPTY_EDGE, growTree } from "./tree-edge.ts";

const ORIGIN = "ledger.acme.test";
const ledger = formatVkey(ORIGIN, rawEd25519Key(createTestLogSigner(1).publicKey));
const nowMs = Date.parse("2026-11-22T00:00:00Z");
const entries = Array.from({ length: 300 }, (_, index) => encodeUtf8(`entry ${index}`));
const endFor = (name: string) => encodeShardEnd(vkeyFor(ledger, shardOrigin(ORIGIN, name)));

const treeOf = (list: readonly Uint8Array[]) =>
  growTree(
    EMPTY_EDGE,
    list.map((entry) => ({ entry, leafHash: leafHash(entry) })),
  );

/** Asks for what the signed entries name, of somebody who shows the tiles of others, or of these. */
function find(signed: readonly Uint8Array[], shown = signed, listed: readonly string[] = []) {
  const files = new Map(treeOf(shown).objects.map(({ path, bytes }) => [path, bytes]));
  const readObject = async (path: string): Promise<Uint8Array> => {
    const bytes = files.get(path);
    if (bytes === undefined) throw new TrustWardenError("not_found", { path });
    return bytes;
  };
  const head = { origin: ORIGIN, size: signed.length, root: treeOf(signed).root };
  const at = { place: { name: null, vkey: ledger, first: 0 }, head, ledger: ORIGIN, shown: listed, nowMs };
  return findNextShard({ readObject, readCheckpoint: async () => null }, at);
}

test("an end names its shard, and any other last entry none", async () => {
  const name = "2026q4.17";
  const vkey = vkeyFor(ledger, shardOrigin(ORIGIN, name));
  expect(await find([...entries, endFor(name)])).toEqual({ name, vkey, first: 301 });
  expect(await find(entries)).toBeNull();
  expect(await find([])).toBeNull();
});

test("an end that names another key is found by who shows that key, and by nothing else that is shown", async () => {
  const name = "2026q4";
  const vkey = formatVkey(shardOrigin(ORIGIN, name), rawEd25519Key(createTestLogSigner(9).publicKey));
  const signed = [...entries, encodeShardEnd(vkey)];
  const strangers = formatVkey(shardOrigin(ORIGIN, name), rawEd25519Key(createTestLogSigner(8).publicKey));
  expect(await find(signed)).toBeNull();
  expect(await find(signed, signed, ["nobody", strangers])).toBeNull();
  expect(await find(signed, signed, ["nobody", strangers, vkey])).toEqual({ name, vkey, first: 301 });
  expect(await find(entries, entries, [vkey])).toBeNull();
});

test("a shard of a quarter to come is not looked for", async () => {
  expect(await find([...entries, endFor("2027q1")])).toBeNull();
});

test("tiles that do not give the signed root name nobody and are refused", async () => {
  const forged = [...entries, endFor("2026q4")];
  await expect(find([...entries, encodeUtf8("goes on")], forged)).rejects.toMatchObject({
    code: "proof_invalid",
  });
});
