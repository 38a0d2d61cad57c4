import { createECDH, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findKeys } from "./thief-keys.ts";
import { searchDirectory } from "./thief-loot.ts";

const SECRET = "tw1.c2VjcmV0LXRpY2tldC12YWx1ZQ";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "thief-test-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function plant(content: string | Uint8Array): void {
  writeFileSync(join(directory, "planted"), content);
}

describe("the thief finds a planted string", () => {
  test.each([
    ["in a file", SECRET],
    ["in hex", `x ${Buffer.from(`{"token":"${SECRET}"}`).toString("hex")} y`],
    [
      "in base64url in JSON",
      JSON.stringify({ a: Buffer.from(JSON.stringify({ b: SECRET })).toString("base64url") }),
    ],
    ["in escaped JSON in JSON", JSON.stringify({ a: JSON.stringify({ b: JSON.stringify({ c: SECRET }) }) })],
  ])("%s", (_place, content) => {
    plant(content);
    expect(searchDirectory(directory).strings).toContain(SECRET);
  });

  test("in a table that only the write-ahead file holds", () => {
    const database = new DatabaseSync(join(directory, "state.db"));
    database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a TEXT, b BLOB) STRICT");
    database.prepare("INSERT INTO t VALUES (?, ?)").run(SECRET, Buffer.from(`blob-${SECRET}`));
    const { strings } = searchDirectory(directory);
    database.close();
    expect(strings).toContain(SECRET);
    expect(strings).toContain(`blob-${SECRET}`);
  });
});

describe("the thief finds a planted private key", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const der = privateKey.export({ type: "pkcs8", format: "der" });

  test.each([
    ["as PEM", privateKey.export({ type: "pkcs8", format: "pem" })],
    ["as PEM of the older form", privateKey.export({ type: "sec1", format: "pem" })],
    ["as PEM in JSON", JSON.stringify({ key: privateKey.export({ type: "pkcs8", format: "pem" }) })],
    ["as DER between other bytes", Buffer.concat([Buffer.alloc(33, 7), der, Buffer.alloc(9, 7)])],
    ["as base64 of DER", JSON.stringify({ key: der.toString("base64") })],
  ])("%s", (_form, content) => {
    plant(content);
    expect(findKeys(searchDirectory(directory)).privateKeys).toHaveLength(1);
  });

  test("as bare bytes of a public key that is there too, and not otherwise", () => {
    const ecdh = createECDH("prime256v1");
    ecdh.setPrivateKey(Buffer.from(privateKey.export({ format: "jwk" }).d ?? "", "base64url"));
    const bare = ecdh.getPrivateKey().toString("hex");
    plant(bare);
    expect(findKeys(searchDirectory(directory)).bareKeys).toHaveLength(0);
    plant(`${bare} ${publicKey.export({ type: "spki", format: "der" }).toString("base64")}`);
    expect(findKeys(searchDirectory(directory)).bareKeys).toHaveLength(1);
  });
});
