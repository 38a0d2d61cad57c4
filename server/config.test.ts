/** The configuration: where it comes from, and what it refuses. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectCode } from "../test/support/expect-code.ts";
import { defaultConfigDir, defaultDataDir, loadConfig, parseConfig, trustDomainFile } from "./config.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tw-config-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const directories = { dataDir: "/tmp/data", configDir: "/tmp/config" };

describe("the configuration", () => {
  it("needs nothing: every setting has a safe default", () => {
    const config = loadConfig({ environment: { HOME: folder } });
    expect(config).toMatchObject({
      dataDir: join(folder, ".local/share/trustwarden"),
      configDir: join(folder, ".config/trustwarden"),
      host: "127.0.0.1",
      port: 7443,
      stopPort: 7444,
      allowExternal: false,
      delegationMode: "strict",
    });
  });

  it("takes flags before the environment, and the environment before the file", () => {
    const file = join(folder, "server.json");
    writeFileSync(file, JSON.stringify({ port: 1, stopPort: 1, trustDomain: "file.test" }));
    const environment = { HOME: folder, TRUSTWARDEN_PORT: "2", TRUSTWARDEN_STOP_PORT: "2" };
    const config = loadConfig({ flags: { port: 3 }, environment, file });
    expect(config).toMatchObject({ port: 3, stopPort: 2, trustDomain: "file.test" });
  });

  it("remembers the trust domain of a data directory, and refuses to call it another", () => {
    const flags = { dataDir: folder, configDir: folder };
    writeFileSync(trustDomainFile(folder), "acme.test\n");
    expect(loadConfig({ flags, environment: {} }).trustDomain).toBe("acme.test");
    expect(loadConfig({ flags: { ...flags, trustDomain: "acme.test" }, environment: {} }).trustDomain).toBe(
      "acme.test",
    );
    expectCode(
      () => loadConfig({ flags: { ...flags, trustDomain: "other.test" }, environment: {} }),
      "config_invalid",
    );
  });

  it("reads server.json of the configuration directory, if there is one", () => {
    writeFileSync(join(folder, "server.json"), JSON.stringify({ logLevel: "warn" }));
    expect(loadConfig({ flags: { configDir: folder }, environment: {} }).logLevel).toBe("warn");
  });

  it("follows the XDG variables, and ignores relative ones", () => {
    expect(defaultConfigDir({ XDG_CONFIG_HOME: "/c" })).toBe("/c/trustwarden");
    expect(defaultDataDir({ XDG_DATA_HOME: "/d" })).toBe("/d/trustwarden");
    expect(defaultDataDir({ XDG_DATA_HOME: "d", HOME: "/h" })).toBe("/h/.local/share/trustwarden");
  });

  it("refuses a named file that is missing, and a file that is not strict JSON", () => {
    const file = join(folder, "other.json");
    expectCode(() => loadConfig({ environment: { HOME: folder }, file }), "config_invalid");
    writeFileSync(file, '{"port":1,"port":2}');
    expectCode(() => loadConfig({ environment: { HOME: folder }, file }), "config_invalid");
  });

  it("refuses unknown settings and values out of range", () => {
    expectCode(() => parseConfig({ ...directories, prot: 1 }), "config_invalid");
    expectCode(() => parseConfig({ ...directories, port: 65_536 }), "config_invalid");
    expectCode(() => parseConfig({ ...directories, trustDomain: "Acme.Test" }), "config_invalid");
    expect(parseConfig({ ...directories, port: 65_535 }).port).toBe(65_535);
  });

  it("refuses to start where an attack suite asked for a weakness: no shipped file has one", () => {
    for (const TW_WEAKEN of ["any-scope-spelling", ""]) {
      expectCode(() => loadConfig({ environment: { HOME: folder, TW_WEAKEN } }), "config_invalid");
    }
  });

  it("listens on this machine only, unless told otherwise in so many words", () => {
    for (const host of ["127.0.0.1", "::1", "localhost"])
      expect(parseConfig({ ...directories, host }).host).toBe(host);
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "127.0.0.2.evil.test"]) {
      expectCode(() => parseConfig({ ...directories, host }), "bind_refused");
    }
    expect(parseConfig({ ...directories, host: "0.0.0.0", allowExternal: true }).host).toBe("0.0.0.0");
    expectCode(
      () => parseConfig({ ...directories, host: "0.0.0.0", allowExternal: "yes" }),
      "config_invalid",
    );
  });
});
