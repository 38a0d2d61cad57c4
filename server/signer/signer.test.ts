import { generateKeyPairSync, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { isEd25519Signature, isP256Signature } from "@trustwarden/core/crypto.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPrivateFile, requirePrivateFile, writePrivateFile } from "./private-file.ts";
import { readSealedFile, writeSealedFile } from "./sealed-file.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "./software.ts";
import { openUnsealKey, UnsealKey } from "./unseal-key.ts";

const code = (name: string) => expect.objectContaining({ code: name });
const data = encodeUtf8("to be signed");
let root = "";
let dirs = { configDir: "", dataDir: "", trustDomain: "acme.test", create: true, random: randomBytes };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tw-signer-"));
  dirs = { ...dirs, configDir: join(root, "config"), dataDir: join(root, "data") };
  mkdirSync(dirs.dataDir, { mode: 0o700 });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("createSoftwareSigner", () => {
  it("signs ES256 as 64 bytes r||s", () => {
    const signer = createSoftwareSigner(createPrivateKeyPkcs8("ES256"));
    expect(signer.algorithm).toBe("ES256");
    expect(signer.sign(data)).toHaveLength(64);
    expect(isP256Signature(signer.publicKey, data, signer.sign(data))).toBe(true);
    expect(isP256Signature(signer.publicKey, encodeUtf8("other"), signer.sign(data))).toBe(false);
  });

  it("signs Ed25519", () => {
    const signer = createSoftwareSigner(createPrivateKeyPkcs8("Ed25519"));
    expect(signer.algorithm).toBe("Ed25519");
    expect(isEd25519Signature(signer.publicKey, data, signer.sign(data))).toBe(true);
  });

  it("refuses other keys and other bytes", () => {
    const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    for (const key of [p384, rsa]) {
      expect(() => createSoftwareSigner(key.export({ type: "pkcs8", format: "der" }))).toThrow(
        code("config_invalid"),
      );
    }
    expect(() => createSoftwareSigner(data)).toThrow(code("config_invalid"));
  });

  it("shows no private key when printed or serialised", () => {
    const pkcs8 = createPrivateKeyPkcs8("ES256");
    const signer = createSoftwareSigner(pkcs8);
    const shown = `${inspect(signer, { depth: 9, showHidden: true })}${JSON.stringify(signer)}`;
    expect(shown).not.toMatch(/private/i);
    expect(Object.keys(signer).sort()).toEqual(["algorithm", "publicKey", "sign"]);
  });
});

describe("openUnsealKey", () => {
  const context = encodeUtf8("c");
  const roundTrip = (from: UnsealKey, to: UnsealKey) =>
    to.open({ sealed: from.seal({ plaintext: data, context }), context });

  it("creates a 0600 key in a 0700 directory once, and opens the same key afterwards", () => {
    const first = openUnsealKey(dirs);
    const path = join(dirs.configDir, "acme.test.unseal");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(dirs.configDir).mode & 0o777).toBe(0o700);
    const text = readFileSync(path, "utf8");
    expect(roundTrip(first, openUnsealKey(dirs))).toEqual(data);
    expect(roundTrip(first, openUnsealKey({ ...dirs, create: false }))).toEqual(data);
    expect(readFileSync(path, "utf8")).toBe(text);
    expect(readdirSync(dirs.configDir)).toEqual(["acme.test.unseal"]);
  });

  it("refuses a missing key unless it may create one", () => {
    expect(() => openUnsealKey({ ...dirs, create: false })).toThrow(code("seal_broken"));
    expect(existsSync(dirs.configDir)).toBe(false);
  });

  it("refuses a key file that is not one key", () => {
    openUnsealKey(dirs);
    const path = join(dirs.configDir, "acme.test.unseal");
    const text = readFileSync(path, "utf8");
    for (const bad of ["", "\n", "not base64url!\n", text.slice(2), `${text}\n`, ` ${text}`]) {
      writeFileSync(path, bad);
      expect(() => openUnsealKey(dirs), JSON.stringify(bad)).toThrow(code("seal_broken"));
    }
  });

  it("refuses a file or a directory that others may read", () => {
    openUnsealKey(dirs);
    const path = join(dirs.configDir, "acme.test.unseal");
    for (const mode of [0o640, 0o604, 0o620, 0o601]) {
      chmodSync(path, mode);
      expect(() => openUnsealKey(dirs), mode.toString(8)).toThrow(code("file_mode_too_open"));
    }
    chmodSync(path, 0o400);
    openUnsealKey(dirs);
    for (const mode of [0o750, 0o701, 0o755]) {
      chmodSync(dirs.configDir, mode);
      expect(() => openUnsealKey(dirs), mode.toString(8)).toThrow(code("file_mode_too_open"));
    }
  });

  it("refuses a key inside the data directory, however it is spelled", () => {
    const refused = code("unseal_key_inside_data");
    const inside = join(dirs.dataDir, "config");
    expect(() => openUnsealKey({ ...dirs, configDir: inside })).toThrow(refused);
    expect(() => openUnsealKey({ ...dirs, configDir: dirs.dataDir })).toThrow(refused);
    expect(() => openUnsealKey({ ...dirs, configDir: join(root, "x", "..", "data") })).toThrow(refused);
    const linked = join(root, "linked");
    symlinkSync(dirs.dataDir, linked);
    expect(() => openUnsealKey({ ...dirs, configDir: join(linked, "config") })).toThrow(refused);
    expect(() => openUnsealKey({ ...dirs, configDir: inside, dataDir: linked })).toThrow(refused);
    expect(readdirSync(dirs.dataDir)).toEqual([]);
  });

  it("refuses a key file that is a link into the data directory", () => {
    openUnsealKey(dirs);
    const path = join(dirs.configDir, "acme.test.unseal");
    renameSync(path, join(dirs.dataDir, "key"));
    symlinkSync(join(dirs.dataDir, "key"), path);
    expect(() => openUnsealKey(dirs)).toThrow(code("unseal_key_inside_data"));
  });

  it("accepts a sibling whose name begins like the data directory's", () => {
    openUnsealKey({ ...dirs, configDir: `${dirs.dataDir}-config` });
    openUnsealKey({ ...dirs, configDir: join(root, "..data") });
  });

  it("shows no key when printed or serialised", () => {
    const key = openUnsealKey(dirs);
    const text = readFileSync(join(dirs.configDir, "acme.test.unseal"), "utf8").trim();
    const shown = `${inspect(key, { showHidden: true })}${JSON.stringify({ key })}${String(key)}`;
    expect(shown).not.toContain(text);
    expect(shown).toContain("[unseal key]");
  });
});

describe("sealed files", () => {
  const secret = createPrivateKeyPkcs8("ES256");
  const sealedAt = (name: string) => ({
    path: join(dirs.dataDir, name),
    purpose: "jwt-key",
    unsealKey: openUnsealKey(dirs),
  });

  it("give back what was sealed, and hold none of it in the clear", () => {
    const file = sealedAt("jwt.sealed");
    writeSealedFile(file, secret);
    expect(readSealedFile(file)).toEqual(new Uint8Array(secret));
    expect(statSync(file.path).mode & 0o777).toBe(0o600);
    expect(readFileSync(file.path).includes(Buffer.from(secret.subarray(-32)))).toBe(false);
  });

  it("refuse every altered byte and every truncation", () => {
    const file = sealedAt("jwt.sealed");
    writeSealedFile(file, secret);
    const good = readFileSync(file.path);
    for (let index = 0; index < good.length; index += 1) {
      const bad = Buffer.from(good);
      bad[index] = (bad[index] ?? 0) ^ 1;
      writeFileSync(file.path, bad);
      expect(() => readSealedFile(file), `byte ${index}`).toThrow(code("seal_broken"));
      writeFileSync(file.path, good.subarray(0, index));
      expect(() => readSealedFile(file), `cut at ${index}`).toThrow(code("seal_broken"));
    }
  });

  it("refuse another unseal key, another name and another purpose", () => {
    const file = sealedAt("jwt.sealed");
    writeSealedFile(file, secret);
    const refused = code("seal_broken");
    expect(() =>
      readSealedFile({ ...file, unsealKey: new UnsealKey(new Uint8Array(32), randomBytes) }),
    ).toThrow(refused);
    expect(() => readSealedFile({ ...file, purpose: "root-key" })).toThrow(refused);
    renameSync(file.path, join(dirs.dataDir, "root.sealed"));
    expect(() => readSealedFile({ ...file, path: join(dirs.dataDir, "root.sealed") })).toThrow(refused);
  });

  it("refuse to be read when others could read them too", () => {
    const file = sealedAt("jwt.sealed");
    writeSealedFile(file, secret);
    chmodSync(file.path, 0o644);
    expect(() => readSealedFile(file)).toThrow(code("file_mode_too_open"));
  });

  it("seal the same secret differently each time", () => {
    const file = sealedAt("jwt.sealed");
    writeSealedFile(file, secret);
    const first = readFileSync(file.path);
    writeSealedFile(file, secret);
    expect(readFileSync(file.path).equals(first)).toBe(false);
  });
});

describe("private files", () => {
  it("are replaced whole and leave no temporary file behind", () => {
    const path = join(dirs.dataDir, "a");
    writePrivateFile(path, encodeUtf8("one"));
    writePrivateFile(path, encodeUtf8("two"));
    expect(readFileSync(path, "utf8")).toBe("two");
    expect(readdirSync(dirs.dataDir)).toEqual(["a"]);
  });

  it("are never replaced by createPrivateFile", () => {
    const path = join(dirs.dataDir, "a");
    createPrivateFile(path, encodeUtf8("one"));
    expect(() => createPrivateFile(path, encodeUtf8("two"))).toThrow(code("EEXIST"));
    expect(readFileSync(path, "utf8")).toBe("one");
    expect(readdirSync(dirs.dataDir)).toEqual(["a"]);
  });

  it("requirePrivateFile accepts 0600 in 0700 and refuses a directory, a loose mode and a loose directory", () => {
    const path = join(dirs.dataDir, "owner.key");
    writePrivateFile(path, data);
    requirePrivateFile(path);
    expect(() => requirePrivateFile(dirs.dataDir)).toThrow(code("file_mode_too_open"));
    chmodSync(path, 0o644);
    expect(() => requirePrivateFile(path)).toThrow(code("file_mode_too_open"));
    chmodSync(path, 0o600);
    chmodSync(dirs.dataDir, 0o755);
    expect(() => requirePrivateFile(path)).toThrow(code("file_mode_too_open"));
  });
});
