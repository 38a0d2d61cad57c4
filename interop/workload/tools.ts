/**
 * Puts the strangers' Workload API clients where they can be run: each built or installed into `.cache/interop` from
 * files that pin everything by the digest of its content (`go.sum`, `spiffe.txt`, `Cargo.lock`).
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../command.ts";
import { JudgeUnavailable, type Lab } from "../judge.ts";
import { requireGoTools, requireProgram } from "../tools.ts";

const INSTALL_TIMEOUT_MS = 900_000;

/** A program that takes `live SOCKET AUDIENCE` after its own arguments. */
export interface WorkloadClient {
  readonly program: string;
  readonly args: readonly string[];
  /** It becomes another user by itself, told by `JUDGE_UID`, because that user could not start it. */
  readonly changesUser?: boolean;
}

/** SPIFFE's own Go library. @throws JudgeUnavailable; so do all below. */
export async function requireGoClient(lab: Lab): Promise<WorkloadClient> {
  return { program: (await requireGoTools(lab)).workloadjudge, args: [] };
}

/** PyPI's `spiffe`. */
export async function requirePythonClient({ root, cache }: Lab): Promise<WorkloadClient> {
  await requireProgram("python3", ["--version"], "install Python 3.10 or newer with venv");
  const requirements = join(root, "interop", "workload", "spiffe.txt");
  const folder = await once(join(cache, `py-spiffe-${digestOf(requirements)}`), async (place) => {
    await install("python3", ["-m", "venv", place], {});
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    await install(join(place, "bin", "python"), [...pip, "--require-hashes", "-r", requirements], {});
  });
  return {
    program: join(folder, "bin", "python"),
    args: [join(root, "interop", "workload", "judge.py")],
    changesUser: true,
  };
}

/** The crate `spiffe`. */
export async function requireRustClient({ root, cache }: Lab): Promise<WorkloadClient> {
  await requireProgram("cargo", ["--version"], "install Rust 1.85 or newer");
  const source = join(root, "interop", "workload", "rust");
  const key = digestOf(
    join(source, "Cargo.lock"),
    join(source, "Cargo.toml"),
    join(source, "src", "main.rs"),
  );
  const folder = await once(join(cache, `rust-spiffe-${key}`), async (place) => {
    const target = { CARGO_TARGET_DIR: join(place, "target") };
    await install("nice", ["-n", "15", "cargo", "build", "--release", "--locked"], {
      cwd: source,
      env: target,
    });
  });
  return { program: join(folder, "target", "release", "rust-judge"), args: [] };
}

/** Fills a folder once; one that was left half done is filled again. */
async function once(folder: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const stamp = join(folder, "complete");
  if (existsSync(stamp)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await fill(folder);
  writeFileSync(stamp, "");
  return folder;
}

function digestOf(...files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 16);
}

async function install(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> },
): Promise<void> {
  const { code, stdout, stderr } = await runCommand(program, args, {
    ...options,
    timeoutMs: INSTALL_TIMEOUT_MS,
  });
  if (code !== 0)
    throw new JudgeUnavailable(
      `${program} ${args.join(" ")}: ${(stderr.trim() || stdout.trim()).slice(-2000)}`,
    );
}
