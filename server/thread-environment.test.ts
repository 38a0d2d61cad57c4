import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const MODULE = fileURLToPath(new URL("./thread-environment.ts", import.meta.url));
const SAY = `const { threadEnvironment } = await import(${JSON.stringify(MODULE)}); console.log(JSON.stringify(threadEnvironment()));`;

function environmentWith(env: Record<string, string>): unknown {
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "--eval", SAY], {
    env,
    encoding: "utf8",
  });
  return JSON.parse(stdout);
}

test("a thread is given where compiled modules are kept, and nothing else of the process's environment", () => {
  const folder = mkdtempSync(join(tmpdir(), "compiled-"));
  try {
    expect(environmentWith({ A_SECRET: "of the operator's" })).toEqual({});
    expect(environmentWith({ A_SECRET: "of the operator's", NODE_COMPILE_CACHE: folder })).toEqual({
      NODE_COMPILE_CACHE: folder,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
