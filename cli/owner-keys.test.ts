import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createOwnerKey, openOwner } from "./owner-keys.ts";
import { issueOwnerRequest } from "./owner-transport.ts";
import { type Paths, resolvePaths } from "./paths.ts";
import { createHome } from "./testing.ts";

const PROFILE = {
  ownerId: "own_01M80FGQWSA1AK5G58G8MV1CGP",
  name: "alice",
  trustDomain: "acme.test",
  serverUrl: "https://127.0.0.1:7443",
  stopUrl: "https://127.0.0.1:7444",
  authoritiesSha256: "A".repeat(43),
};

let home: string;
let paths: Paths;

beforeEach(() => {
  home = createHome();
  paths = resolvePaths({}, { env: {}, home });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function makeAlice(): void {
  createOwnerKey(paths, "alice").keep(PROFILE);
}

describe("an owner's key", () => {
  test("is kept in a 0600 file of a 0700 directory, outside the data directory", () => {
    makeAlice();
    expect(statSync(join(paths.ownersDir, "alice.pem")).mode & 0o777).toBe(0o600);
    expect(statSync(paths.ownersDir).mode & 0o777).toBe(0o700);
    expect(paths.ownersDir.startsWith(paths.dataDir)).toBe(false);
    expect(openOwner(paths, "alice").profile).toEqual(PROFILE);
  });

  test("is refused when its group may read it, and taken again when it may not", () => {
    makeAlice();
    chmodSync(join(paths.ownersDir, "alice.pem"), 0o640);
    expect(() => openOwner(paths, "alice")).toThrow(expect.objectContaining({ code: "file_mode_too_open" }));
    chmodSync(join(paths.ownersDir, "alice.pem"), 0o600);
    expect(openOwner(paths, "alice").profile.name).toBe("alice");
  });

  test("is refused when others may reach into its directory, or when it is a link", () => {
    makeAlice();
    chmodSync(paths.ownersDir, 0o755);
    expect(() => openOwner(paths, "alice")).toThrow(expect.objectContaining({ code: "file_mode_too_open" }));
    chmodSync(paths.ownersDir, 0o700);
    symlinkSync(join(paths.ownersDir, "alice.pem"), join(paths.ownersDir, "mallory.pem"));
    expect(() => openOwner(paths, "mallory")).toThrow(
      expect.objectContaining({ code: "file_mode_too_open" }),
    );
  });

  test("is never made inside the data directory", () => {
    const inside = resolvePaths({ data: home, configDir: join(home, "config") }, { env: {}, home });
    expect(() => createOwnerKey(inside, "alice")).toThrow(
      expect.objectContaining({ code: "unseal_key_inside_data" }),
    );
    const beside = resolvePaths(
      { data: join(home, "config-data"), configDir: join(home, "config") },
      { env: {}, home },
    );
    expect(() => createOwnerKey(beside, "alice")).not.toThrow();
  });

  test("is never overwritten", () => {
    makeAlice();
    const before = readFileSync(join(paths.ownersDir, "alice.pem"), "utf8");
    expect(() => createOwnerKey(paths, "alice")).toThrow(expect.objectContaining({ code: "owner_exists" }));
    expect(readFileSync(join(paths.ownersDir, "alice.pem"), "utf8")).toBe(before);
  });

  test.each(["../alice", "Alice", "", "a/b", "-alice"])("is not looked for under the name %j", (name) => {
    expect(() => openOwner(paths, name)).toThrow(expect.objectContaining({ code: "name_malformed" }));
  });

  test("that is no P-256 key, or is not there, is refused", () => {
    mkdirSync(paths.ownersDir, { recursive: true, mode: 0o700 });
    writeFileSync(join(paths.ownersDir, "bob.pem"), "no key", { mode: 0o600 });
    expect(() => openOwner(paths, "bob")).toThrow(expect.objectContaining({ code: "config_invalid" }));
    expect(() => openOwner(paths, "carol")).toThrow(expect.objectContaining({ code: "owner_unknown" }));
  });

  test("signs a request over exactly its method, target and body, for a minute", () => {
    makeAlice();
    const owner = openOwner(paths, "alice");
    const header = issueOwnerRequest({
      owner,
      serverId: "spiffe://acme.test/trustwarden/server/x",
      request: { method: "POST", target: "/v1/revocations?x=1", body: encodeUtf8("{}"), lane: "stop" },
      io: { nowMs: () => 1_700_000_000_500, random: (length) => new Uint8Array(length) },
    });
    const envelope = parseEnvelope(parseUtf8(parseBase64url(header)));
    expect(envelope.unverifiedKeyid).toBe(owner.keyid);
    expect(verifyEnvelope(envelope, "owner-request", owner.signer.publicKey)).toEqual({
      v: 1,
      jti: expect.stringMatching(/^[0-9A-Z]{26}$/),
      aud: "spiffe://acme.test/trustwarden/server/x",
      owner: PROFILE.ownerId,
      method: "POST",
      target: "/v1/revocations?x=1",
      body_sha256: "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o",
      iat: 1_700_000_000,
      exp: 1_700_000_060,
    });
  });
});

describe("the directories", () => {
  test("come from flags, then the environment, then the home directory", () => {
    const env = { TRUSTWARDEN_DATA_DIR: "/d", TRUSTWARDEN_CONFIG_DIR: "/c" };
    expect(resolvePaths({ data: "/flag" }, { env, home })).toMatchObject({
      dataDir: "/flag",
      configDir: "/c",
    });
    expect(resolvePaths({}, { env: { XDG_DATA_HOME: "relative" }, home }).dataDir).toBe(
      join(home, ".local", "share", "trustwarden"),
    );
    expect(resolvePaths({}, { env: { XDG_CONFIG_HOME: "/x" }, home }).adminSocket).toBe(
      join(home, ".local", "share", "trustwarden", "admin.sock"),
    );
  });
});
