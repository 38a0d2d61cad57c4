/** Key-encryption keys in a real SoftHSM (where Debian's softhsm2 is installed) and in a stand-in for AWS KMS. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { expectCode, expectRejection } from "../../test/support/expect-code.ts";
import {
  KMS_CREDENTIALS,
  KMS_REGION,
  refuse,
  reply,
  startTestKms,
  type TestKms,
} from "../../test/support/kms.ts";
import { parseConfig } from "../config.ts";
import type { KmsPlace } from "./aws-kms.ts";
import { type Custody, KeyEncryptionKeys, type KeyEncryptionPlace } from "./key-encryption.ts";
import { UnsealKey } from "./unseal-key.ts";

const MODULES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
const module = MODULES.find((path) => existsSync(path));
const CONTEXT = encodeUtf8("context");
const OTHER = encodeUtf8("other");
const root = mkdtempSync(join(tmpdir(), "tw-custody-"));
const unsealKey = new UnsealKey(randomBytes(32), randomBytes);
const token = { module: module ?? join(root, "none.so"), token: "trustwarden-kek", pin: "1234" };
const key = new Uint8Array(randomBytes(32));
let kms: TestKms;
let directory: string;

beforeAll(async () => {
  kms = await startTestKms();
  if (module === undefined) return;
  mkdirSync(join(root, "tokens"));
  const file = join(root, "softhsm2.conf");
  writeFileSync(file, `directories.tokendir = ${join(root, "tokens")}\nobjectstore.backend = file\n`);
  process.env.SOFTHSM2_CONF = file;
  const args = ["--init-token", "--free", "--label", token.token, "--pin", token.pin, "--so-pin", "5678"];
  expect(spawnSync("softhsm2-util", args).status).toBe(0);
});
afterAll(async () => {
  await kms.close();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  kms.misbehave = undefined;
  directory = mkdtempSync(join(root, "keys-"));
});

function placeOf(keyId: string): KmsPlace {
  const credentials = () => KMS_CREDENTIALS;
  return { region: KMS_REGION, endpoint: kms.url, keyId, timeoutMs: 5000, credentials, nowMs: Date.now };
}

function open(custody: Custody, changed: Partial<KeyEncryptionPlace> = {}): KeyEncryptionKeys {
  const place = { directory: join(directory, "kek"), unsealKey, random: randomBytes, token, kms: null };
  return new KeyEncryptionKeys({ ...place, custody, ...changed });
}

const CUSTODIES = [
  ["pkcs11", () => open("pkcs11")],
  ["aws-kms", () => open("aws-kms", { kms: placeOf(kms.addSymmetricKey()) })],
] as const;

describe.each(CUSTODIES)("a key-encryption key in custody of %s", (custody, make) => {
  it.skipIf(custody === "pkcs11" && module === undefined)(
    "wraps there, and opens under the same context only, also after a restart",
    async () => {
      const keys = make();
      const [first, second] = [await keys.create(), await keys.create()];
      const wrapped = await keys.wrap(first, { key, context: CONTEXT });
      expect(Buffer.from(wrapped).includes(Buffer.from(key))).toBe(false);
      const again = custody === "pkcs11" ? open("pkcs11") : keys;
      expect(again.ids()).toEqual([first, second]);
      expect(await again.unwrap(first, { key: wrapped, context: CONTEXT })).toEqual(key);
      await expectRejection(keys.unwrap(first, { key: wrapped, context: OTHER }), "seal_broken");
      const altered = Uint8Array.from(wrapped);
      altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
      await expectRejection(keys.unwrap(first, { key: altered, context: CONTEXT }), "seal_broken");
    },
  );

  it.skipIf(custody === "pkcs11" && module === undefined)("leaves nothing in files that opens", async () => {
    await make().create();
    const [file, ...more] = readdirSync(join(directory, "kek"));
    expect(more).toEqual([]);
    expect(file).toMatch(/\.ref$/);
    expectCode(
      () => open(custody, { unsealKey: new UnsealKey(randomBytes(32), randomBytes) }),
      "seal_broken",
    );
    expect(readFileSync(join(directory, "kek", file ?? ""), "latin1")).not.toContain("custody");
  });
});

describe("a deployment that moves its keys", () => {
  it.skipIf(module === undefined)("has both side by side until the old one is destroyed", async () => {
    const sealed = await open("sealed").create();
    const keys = open("pkcs11");
    const wrapped = await keys.wrap(sealed, { key, context: CONTEXT });
    const inToken = await keys.create();
    expect(keys.ids()).toEqual([sealed, inToken]);
    expect(await keys.unwrap(sealed, { key: wrapped, context: CONTEXT })).toEqual(key);
    const next = await keys.wrap(inToken, { key, context: CONTEXT });
    await keys.remove(sealed);
    expect(await open("sealed").unwrap(inToken, { key: next, context: CONTEXT })).toEqual(key);
    await keys.remove(inToken);
    await expectRejection(keys.unwrap(inToken, { key: next, context: CONTEXT }), "secret_unavailable");
    expect(readdirSync(join(directory, "kek"))).toEqual([]);
  });
});

describe("a token or KMS that is away", () => {
  it("says so with one code, and keeps the keys that it has", async () => {
    const absent = { ...token, token: "unplugged" };
    await expectRejection(open("pkcs11", { token: absent }).create(), "secret_unavailable");
    await expectRejection(open("pkcs11", { token: null }).create(), "secret_unavailable");
    const place = placeOf(kms.addSymmetricKey());
    const keys = open("aws-kms", { kms: place });
    const id = await keys.create();
    const wrapped = await keys.wrap(id, { key, context: CONTEXT });
    kms.misbehave = (response) => refuse(response, "DisabledException");
    await expectRejection(keys.unwrap(id, { key: wrapped, context: CONTEXT }), "secret_unavailable");
    kms.misbehave = undefined;
    expect(await keys.unwrap(id, { key: wrapped, context: CONTEXT })).toEqual(key);
    await expectRejection(
      open("aws-kms").unwrap(id, { key: wrapped, context: CONTEXT }),
      "secret_unavailable",
    );
  });

  it("is not believed when it answers for another key", async () => {
    const keys = open("aws-kms", { kms: placeOf(kms.addSymmetricKey()) });
    const id = await keys.create();
    kms.misbehave = (response, answer) => reply(response, { ...answer, KeyId: "arn:other" });
    await expectRejection(keys.wrap(id, { key, context: CONTEXT }), "secret_unavailable");
  });

  it("gets no key that is not one to encrypt with", async () => {
    await expectRejection(open("aws-kms", { kms: placeOf(kms.addKey()) }).create(), "config_invalid");
    await expectRejection(open("aws-kms", { kms: placeOf("nowhere") }).create(), "secret_unavailable");
  });
});

describe("the setting", () => {
  it("is sealed files unless somebody says otherwise, and names what it uses", () => {
    const base = { dataDir: root, configDir: root };
    expect(parseConfig(base).secretKeys).toEqual({ use: "sealed" });
    for (const use of ["pkcs11", "aws-kms"])
      expectCode(() => parseConfig({ ...base, secretKeys: { use } }), "config_invalid");
    const pkcs11 = { module: "/lib/x.so", token: "t", pinFile: "/pin" };
    expect(parseConfig({ ...base, secretKeys: { use: "pkcs11", pkcs11 } }).secretKeys.pkcs11).toEqual(pkcs11);
  });
});
