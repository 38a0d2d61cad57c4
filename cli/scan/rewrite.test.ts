/** A replacement that is killed at any of its steps: the file is the old one or the new one, whole, and the copy is there before the old one goes. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { beginRewrite } from "./rewrite.ts";

const folder = mkdtempSync(join(tmpdir(), "rewrite-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const OLD = "API_TOKEN=hunter2hunter2\nOTHER=1\n";
const NEW = "API_TOKEN=held-by-the-gateway\nOTHER=1\n";
const MODE = 0o640;
/** More steps than a replacement has. */
const MAX_STEPS = 40;

/** Kills its process in place of the n-th call to the disk. */
const KILLER = `
  import fs from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  let left = Number(process.env.KILL_AT);
  for (const name of ["openSync", "writeFileSync", "fsyncSync", "fchmodSync", "chownSync", "closeSync", "readFileSync", "renameSync", "rmSync"]) {
    const call = fs[name];
    fs[name] = (...given) => {
      if (globalThis.isArmed && (left -= 1) === 0) process.kill(process.pid, "SIGKILL");
      return call(...given);
    };
  }
  syncBuiltinESMExports();
`;
const PROGRAM = `
  const { beginRewrite, writeBackup } = await import(process.env.REWRITE);
  globalThis.isArmed = true;
  const rewrite = beginRewrite(process.env.FILE, process.env.OLD, "tmp");
  writeBackup(process.env.FILE + ".bak", process.env.OLD);
  rewrite.commit(process.env.NEW);
  rewrite.abandon();
`;

test("is there as it was or as it is to be, whenever the process is killed", () => {
  const file = join(folder, ".env");
  const killer = join(folder, "killer.mjs");
  writeFileSync(killer, KILLER);
  const seen = new Set<string>();
  for (let step = 1; step < MAX_STEPS; step += 1) {
    for (const path of [file, `${file}.bak`, join(folder, "..env.tmp")]) rmSync(path, { force: true });
    writeFileSync(file, OLD);
    chmodSync(file, MODE);
    const env = {
      ...{ PATH: process.env.PATH, FILE: file, OLD, NEW, KILL_AT: String(step) },
      REWRITE: join(import.meta.dirname, "rewrite.ts"),
    };
    const args = ["--import", killer, "--input-type=module", "--eval", PROGRAM];
    const { signal, status, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
    const text = readFileSync(file, "utf8");
    seen.add(text);
    expect([OLD, NEW]).toContain(text);
    expect(statSync(file).mode & 0o777).toBe(MODE);
    if (text === NEW) expect(readFileSync(`${file}.bak`, "utf8")).toBe(OLD);
    if (signal === null) {
      expect([status, stderr]).toEqual([0, ""]);
      expect(statSync(`${file}.bak`).mode & 0o777).toBe(0o600);
      expect(seen).toEqual(new Set([OLD, NEW]));
      expect(step).toBeGreaterThan(8);
      return;
    }
  }
  expect.unreachable("it never came to its end");
});

test("leaves a file alone that has another name, or whose bytes are no text", () => {
  const file = join(folder, "linked.env");
  writeFileSync(file, OLD);
  linkSync(file, join(folder, "other.env"));
  expect(() => beginRewrite(file, OLD, "x")).toThrow(expect.objectContaining({ code: "not_found" }));
  const latin = join(folder, "latin.env");
  writeFileSync(latin, Buffer.from([0x41, 0x3d, 0xe4, 0x0a]));
  expect(() => beginRewrite(latin, "A=\u00e4\n", "x")).toThrow(
    expect.objectContaining({ code: "not_found" }),
  );
  expect(existsSync(join(folder, ".latin.env.x"))).toBe(false);
});
