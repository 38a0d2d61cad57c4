import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isSameLogKey } from "@trustwarden/core/agentledger/shard.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { isEd25519Signature, type PublicKey } from "@trustwarden/core/crypto.ts";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createFirstLogKey, LogKeyFiles } from "./log-keys.ts";
import { openUnsealKey } from "./signer/unseal-key.ts";

const vkeyOf = (key: PublicKey) => formatVkey("ledger.acme.test/2026q4", rawEd25519Key(key));
const codeOf = (code: string) => expect.objectContaining({ code });

let place: { readonly directory: string; readonly unsealKey: ReturnType<typeof openUnsealKey> };

beforeEach(() => {
  const home = mkdtempSync(join(tmpdir(), "log-keys-"));
  onTestFinished(() => rmSync(home, { recursive: true }));
  const where = { dataDir: join(home, "data"), configDir: home, trustDomain: "acme.test" };
  const random = (length: number) => new Uint8Array(length).fill(7);
  place = { directory: home, unsealKey: openUnsealKey({ ...where, create: true, random }) };
  createFirstLogKey(place);
});

/** Files of keys. */
const filesOf = () => readdirSync(place.directory).filter((name) => name.startsWith("log"));

describe("the ledger's keys", () => {
  it("sign under their vkey, also after another start, and under no other", () => {
    const made = new LogKeyFiles(place).make();
    const keys = new LogKeyFiles(place);
    for (const key of [keys.first, made]) {
      const signature = keys.signerOf(vkeyOf(key)).sign(encodeUtf8("tree"));
      expect(isEd25519Signature(key, encodeUtf8("tree"), signature)).toBe(true);
    }
    const elsewhere = mkdtempSync(join(tmpdir(), "log-keys-"));
    onTestFinished(() => rmSync(elsewhere, { recursive: true }));
    createFirstLogKey({ ...place, directory: elsewhere });
    const other = new LogKeyFiles({ ...place, directory: elsewhere }).first;
    expect(() => keys.signerOf(vkeyOf(other))).toThrow(codeOf("signer_unavailable"));
  });

  it("are one once the next shard has begun; of the first its public half stays", () => {
    const keys = new LogKeyFiles(place);
    const [next, unused] = [keys.make(), keys.make()];
    keys.keepOnly(vkeyOf(next));
    expect(filesOf()).toHaveLength(2);
    const again = new LogKeyFiles(place);
    expect(isSameLogKey(vkeyOf(again.first), vkeyOf(keys.first))).toBe(true);
    for (const gone of [keys.first, unused])
      expect(() => again.signerOf(vkeyOf(gone))).toThrow(codeOf("signer_unavailable"));
    again.signerOf(vkeyOf(next));
    createFirstLogKey(place);
    expect(filesOf()).toEqual(["log.key"]);
  });

  it("are never all destroyed", () => {
    const keys = new LogKeyFiles(place);
    const stranger = new LogKeyFiles(place).make();
    rmSync(join(place.directory, filesOf().find((name) => name !== "log.key") ?? ""));
    expect(() => keys.keepOnly(vkeyOf(stranger))).toThrow();
    expect(filesOf()).toEqual(["log.key"]);
  });
});
