/** What the walls around a server over stdio never show. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LaunchManifest } from "@trustwarden/core/gateway/mcp/launch-manifest.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectCode } from "../../../test/support/expect-code.ts";
import { parseConfig } from "../../config.ts";
import { secretFilesOf } from "./secret-files.ts";
import { formatWalls } from "./stdio-walls.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "tw-"));
  mkdirSync(join(directory, "keys"));
  mkdirSync(join(directory, "tools"));
  writeFileSync(join(directory, "keys", "pin"), "1234");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function wallsOf(path: string, never: readonly string[]): readonly string[] {
  const manifest: LaunchManifest = {
    command: "/bin/true",
    sha256: "",
    args: [],
    files: new Map(),
    env: {},
    cwd: "/",
    sandbox: "bubblewrap",
    network: false,
    readOnly: [path],
  };
  return formatWalls(manifest, { never, command: ["/bin/true"] });
}

describe("the walls", () => {
  it("show no secret that a setting names, alone or with its directory", () => {
    const pinFile = join(directory, "keys", "pin");
    const signer = { kind: "pkcs11", module: "/lib/x.so", token: "t", pinFile } as const;
    const never = secretFilesOf(parseConfig({ dataDir: directory, configDir: directory, signer }));
    expect(never).toEqual([pinFile]);
    for (const path of [pinFile, join(directory, "keys"), directory])
      expectCode(() => wallsOf(path, never), "mcp_launch_refused");
    expect(wallsOf(join(directory, "tools"), never)).toContain(join(directory, "tools"));
  });

  it("hide one that lies among the system's own files", () => {
    const walls = wallsOf(join(directory, "tools"), ["/usr/bin/env", "/usr/bin"]);
    expect(walls.join(" ")).toContain("--ro-bind /dev/null /usr/bin/env");
    expect(walls.join(" ")).toContain("--tmpfs /usr/bin");
  });

  it("count what a setting says at any depth, and no certificate", () => {
    const tls = { caFile: "/ca", certFile: "/cert", keyFile: "/key" };
    const settings = {
      ledger: { postgres: { passwordFile: "/password", tls } },
      sinks: [{ secretFile: "/s" }],
    };
    expect(secretFilesOf(settings)).toEqual(["/password", "/key", "/s"]);
  });
});
