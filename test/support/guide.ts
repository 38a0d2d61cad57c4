/**
 * A guide as its reader meets it: its shell blocks run in one terminal, its files lie in one directory, its programs are
 * programs. What a block leaves in the environment the next one finds.
 *
 * `warden` is the command of this checkout. Nothing is replaced in a block but by the name that it has in the text itself.
 */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = join(ROOT, "cli/main.ts");

/** One fenced block. */
export interface GuideBlock {
  readonly language: string;
  /** Of `file=<name>` behind the language. */
  readonly file: string | undefined;
  readonly text: string;
}

/** What a block printed. */
export interface GuideRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Blocks of a page below `docs/guides`, in their order. @throws Error for a page without one. */
export function readGuide(page: string): readonly GuideBlock[] {
  const text = readFileSync(join(ROOT, "docs/guides", page), "utf8");
  const blocks = [...text.matchAll(/^```(\w+)(?: file=(\S+))?\n([\s\S]*?)^```$/gm)].map(
    ([, language = "", file, block = ""]) => ({ language, file, text: block }),
  );
  if (blocks.length === 0) throw new Error(`${page} has no blocks`);
  return blocks;
}

/** Lines of the shell blocks of a page, for commands that run in the test's own process. */
export function shellLinesOf(page: string): readonly string[] {
  const blocks = readGuide(page).filter(({ language, file }) => language === "sh" && file === undefined);
  return blocks.flatMap(({ text }) => text.trim().split("\n"));
}

/** A reader's terminal with a directory of its own, at a server. */
export class Terminal {
  /** Where the reader is; files of the guide lie here. */
  readonly directory: string;
  readonly #root: string;
  readonly #environment: Readonly<Record<string, string | undefined>>;

  constructor(
    server: { readonly dataDir: string; readonly configDir: string },
    extra: Readonly<Record<string, string>> = {},
  ) {
    // In the checkout, where programs find `trustwarden` as they would in a project that depends on it.
    mkdirSync(join(ROOT, ".cache"), { recursive: true });
    this.#root = mkdtempSync(join(ROOT, ".cache", "reader-"));
    this.directory = join(this.#root, "work");
    const bin = join(this.#root, "bin");
    for (const folder of [this.directory, bin]) mkdirSync(folder);
    const shim = join(bin, "warden");
    writeFileSync(shim, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
    chmodSync(shim, 0o755);
    this.#environment = {
      PATH: [bin, dirname(process.execPath), process.env.PATH].join(delimiter),
      HOME: this.#root,
      // A command starts in half of the time when its sources need not be compiled again.
      NODE_COMPILE_CACHE: join(ROOT, ".cache", "compile"),
      TRUSTWARDEN_DATA_DIR: server.dataDir,
      TRUSTWARDEN_CONFIG_DIR: server.configDir,
      ...extra,
    };
  }

  /** Writes the files of a guide. */
  writeFiles(blocks: readonly GuideBlock[]): void {
    for (const { file, text } of blocks) {
      if (file === undefined) continue;
      mkdirSync(dirname(join(this.directory, file)), { recursive: true });
      writeFileSync(join(this.directory, file), text);
    }
  }

  /** Runs a block to its end, whatever it is. */
  run(block: string): Promise<GuideRun> {
    const state = join(this.#root, "state");
    const before = existsSync(state) ? `. "${state}"\n` : "";
    // What a block assigns, the next one finds, as in one shell.
    const script = `set -ea\n${before}trap 'export -p > "${state}"' EXIT\n${block}`;
    return new Promise((resolve, reject) => {
      const child = spawn("sh", ["-c", script], { cwd: this.directory, env: this.#environment });
      const printed = { stdout: "", stderr: "" };
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        printed.stdout += text;
      });
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        printed.stderr += text;
      });
      child.once("error", reject);
      child.once("close", (code) => resolve({ exitCode: code ?? 1, ...printed }));
    });
  }

  /** Runs a block that has to succeed. @throws Error with what it printed. */
  async must(block: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(block);
    if (exitCode !== 0) throw new Error(`${block}\nended with ${exitCode}: ${stdout}${stderr}`);
    return stdout;
  }

  close(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}
