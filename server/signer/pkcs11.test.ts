/** Keys in a real SoftHSM, where it is installed (Debian's softhsm2); CI installs it. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeSpki, isP256Signature } from "@trustwarden/core/crypto.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../config.ts";
import { startServer } from "../main.ts";
import { createTokenKey, destroyTokenKey, openTokenSigner } from "./pkcs11.ts";

const MODULES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
const module = MODULES.find((path) => existsSync(path));
const random = (length: number) => new Uint8Array(randomBytes(length));
const code = (name: string) => expect.objectContaining({ code: name });
const data = new Uint8Array(420);
const root = mkdtempSync(join(tmpdir(), "tw-hsm-"));
const place = { module: module ?? "", token: "trustwarden-test", pin: "1234" };

beforeAll(() => {
  if (module === undefined) return;
  mkdirSync(join(root, "tokens"));
  const file = join(root, "softhsm2.conf");
  writeFileSync(file, `directories.tokendir = ${join(root, "tokens")}\nobjectstore.backend = file\n`);
  process.env.SOFTHSM2_CONF = file;
  const args = ["--init-token", "--free", "--label", place.token, "--pin", place.pin, "--so-pin", "5678"];
  expect(spawnSync("softhsm2-util", args).status).toBe(0);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe.skipIf(module === undefined)("keys in a token", () => {
  it("are made there, sign there, and are gone when they are destroyed", () => {
    const { id, spki } = createTokenKey(place, random);
    const signer = openTokenSigner(place, id);
    expect(encodeSpki(signer.publicKey)).toEqual(spki);
    expect(isP256Signature(signer.publicKey, data, signer.sign(data))).toBe(true);
    destroyTokenKey(place, id);
    expect(() => openTokenSigner(place, id)).toThrow(code("signer_unavailable"));
    expect(() => destroyTokenKey(place, id)).not.toThrow();
  });

  it("cannot be read: there is no key in a file, and the server issues and rotates all the same", async () => {
    const pinFile = join(root, "pin");
    writeFileSync(pinFile, "1234\n", { mode: 0o600 });
    const config = parseConfig({
      dataDir: join(root, "data"),
      configDir: join(root, "config"),
      trustDomain: "acme.test",
      port: 0,
      stopPort: 0,
      logLevel: "silent",
      signer: { kind: "pkcs11", module: place.module, token: place.token, pinFile },
    });
    for (let start = 0; start < 2; start += 1) {
      const server = await startServer(config);
      const { keys } = Object(await ask(server.adminSocket, "GET", "/v1/authority"));
      expect(keys.map(({ custody }: { readonly custody: string }) => custody)).toEqual(
        keys.map(() => "pkcs11"),
      );
      const step = { step: "rotate", kind: "intermediate", force: true };
      const rotated = Object(await ask(server.adminSocket, "POST", "/v1/authority/steps", step));
      expect(rotated.renew).toHaveLength(start + 1);
      await server.close();
    }
    expect(existsSync(join(root, "data", "keys", "server.key"))).toBe(true);
    const { readdirSync } = await import("node:fs");
    expect(readdirSync(join(root, "data", "keys")).filter((name) => /^(root|interm|jwt)/.test(name))).toEqual(
      readdirSync(join(root, "data", "keys")).filter((name) => name.startsWith("root-crl")),
    );
  });
});

describe("a token that cannot be used", () => {
  it("stops with one code: no library, another token, a wrong PIN", () => {
    const unavailable = code("signer_unavailable");
    expect(() => createTokenKey({ ...place, module: join(root, "none.so") }, random)).toThrow(unavailable);
    if (module === undefined) return;
    expect(() => createTokenKey({ ...place, token: "another" }, random)).toThrow(unavailable);
  });
});

async function ask(socketPath: string, method: string, path: string, body?: object): Promise<unknown> {
  const { sendAdmin } = await import("../../test/support/http.ts");
  const text = body === undefined ? {} : { body: JSON.stringify(body) };
  const answer = await sendAdmin(socketPath, { method, target: path, ...text });
  expect(answer.status, answer.text).toBe(200);
  return JSON.parse(answer.text);
}
