/**
 * Puts the judges where they can be run: built or installed into `.cache/interop`, each by the digest of its content
 * (`go/go.sum`, `pkilint.txt`), never by a name alone.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requireOutput, runCommand } from "./command.ts";
import { JudgeUnavailable, type Lab } from "./judge.ts";

/** Cold, on a busy machine, with every module of `opa` still to be fetched and compiled. */
const INSTALL_TIMEOUT_MS = 900_000;
const VERSION_TIMEOUT_MS = 10_000;

/** The Go programs that judge us. */
export interface GoTools {
  /** SPIFFE's own library on identities. */
  readonly spiffejudge: string;
  /** The Go project's log library on ledgers and proofs. */
  readonly logjudge: string;
  /** A log of the same library on a witness. */
  readonly witnessjudge: string;
  /** A log of Tessera's, with its own client of witnesses, on a witness. */
  readonly tesserajudge: string;
  /** Envoy's published protos on external authorization. */
  readonly authzjudge: string;
  /** SPIFFE's own library on a Workload API. */
  readonly workloadjudge: string;
  /** Tessera's log checker. */
  readonly fsck: string;
}

/** Torchwood's programs, and two small ones around its packages. */
export interface TlogTools {
  /** Its `VerifyProof` and its client. */
  readonly proofjudge: string;
  /** Its witness. */
  readonly litewitness: string;
  /** Holds the witness's key, as an ssh-agent. */
  readonly keyagent: string;
  /** Its verifier of detached proofs. */
  readonly spicy: string;
}

let goTools: Promise<GoTools> | undefined;
let tlogTools: Promise<TlogTools> | undefined;

/** Builds the Go programs; the compiler's own cache makes a second time cheap. @throws JudgeUnavailable */
export function requireGoTools(lab: Lab): Promise<GoTools> {
  goTools ??= buildGoTools(lab);
  return goTools;
}

async function buildGoTools({ root, cache }: Lab): Promise<GoTools> {
  await requireProgram("go", ["version"], "install Go 1.26 or newer");
  const bin = join(cache, "bin");
  mkdirSync(bin, { recursive: true });
  const packages = [
    "./spiffejudge",
    "./workloadjudge",
    "./logjudge",
    "./witnessjudge",
    "./tesserajudge",
    "./authzjudge",
    "github.com/transparency-dev/tessera/cmd/fsck",
  ];
  await install("go", ["build", "-mod=readonly", "-buildvcs=false", "-o", `${bin}/`, ...packages], {
    cwd: join(root, "interop", "go"),
  });
  return {
    spiffejudge: join(bin, "spiffejudge"),
    workloadjudge: join(bin, "workloadjudge"),
    logjudge: join(bin, "logjudge"),
    witnessjudge: join(bin, "witnessjudge"),
    tesserajudge: join(bin, "tesserajudge"),
    authzjudge: join(bin, "authzjudge"),
    fsck: join(bin, "fsck"),
  };
}

/** Builds torchwood's programs. @throws JudgeUnavailable */
export function requireTlogTools(lab: Lab): Promise<TlogTools> {
  tlogTools ??= buildTlogTools(lab);
  return tlogTools;
}

async function buildTlogTools({ root, cache }: Lab): Promise<TlogTools> {
  await requireProgram("go", ["version"], "install Go 1.26 or newer");
  const bin = join(cache, "bin");
  mkdirSync(bin, { recursive: true });
  const strangers = ["litewitness", "spicy"].map((name) => `filippo.io/torchwood/cmd/${name}`);
  const packages = ["./proofjudge", "./keyagent", ...strangers];
  await install("go", ["build", "-mod=readonly", "-buildvcs=false", "-o", `${bin}/`, ...packages], {
    cwd: join(root, "interop", "tlog"),
  });
  return {
    proofjudge: join(bin, "proofjudge"),
    keyagent: join(bin, "keyagent"),
    litewitness: join(bin, "litewitness"),
    spicy: join(bin, "spicy"),
  };
}

/**
 * Builds a Go program that is a module of its own.
 *
 * @param program.source - the package, where it is not the folder's own.
 * @throws JudgeUnavailable
 */
export async function requireGoProgram(
  { cache }: Pick<Lab, "cache">,
  {
    folder,
    name,
    source = ".",
  }: { readonly folder: string; readonly name: string; readonly source?: string },
): Promise<string> {
  await requireProgram("go", ["version"], "install Go 1.26 or newer");
  const program = join(cache, "bin", name);
  mkdirSync(join(cache, "bin"), { recursive: true });
  await install("go", ["build", "-mod=readonly", "-buildvcs=false", "-o", program, source], { cwd: folder });
  return program;
}

/** Path of real `opa`, of the version that compiles our policy. @throws JudgeUnavailable */
export async function requireOpa({ root }: Lab): Promise<string> {
  if (process.env.OPA_BIN) return process.env.OPA_BIN;
  await requireProgram("go", ["version"], "install Go 1.26 or newer, or set OPA_BIN");
  const output = await install("sh", [join(root, "policies", "tools.sh")], {});
  return join(output.trim().split("\n").at(-1) ?? "", "opa");
}

/** Folder with pkilint's programs, in a Python environment of their own. @throws JudgeUnavailable */
export function requirePkilint(lab: Lab): Promise<string> {
  return requirePythonTools(lab, "pkilint");
}

/** Folder of programs from `<name>.txt`, in a Python environment of their own. @throws JudgeUnavailable */
export async function requirePythonTools({ root, cache }: Lab, name: string): Promise<string> {
  await requireProgram("python3", ["--version"], "install Python 3.9 or newer with venv");
  const requirements = join(root, "interop", `${name}.txt`);
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 16);
  const folder = join(cache, `${name}-${digest}`);
  const stamp = join(folder, "complete");
  if (!existsSync(stamp)) {
    rmSync(folder, { recursive: true, force: true });
    await install("python3", ["-m", "venv", folder], {});
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    await install(join(folder, "bin", "python"), [...pip, "--require-hashes", "-r", requirements], {});
    writeFileSync(stamp, "");
  }
  return join(folder, "bin");
}

/** Folder of packages from `<name>/package-lock.json`, whose scripts are not run. @throws JudgeUnavailable */
export async function requireNpmPackages({ root, cache }: Lab, name: string): Promise<string> {
  const files = ["package.json", "package-lock.json"].map((file) => ({
    file,
    content: readFileSync(join(root, "interop", name, file)),
  }));
  const digest = createHash("sha256").update(Buffer.concat(files.map(({ content }) => content)));
  const folder = join(cache, `${name}-${digest.digest("hex").slice(0, 16)}`);
  const stamp = join(folder, "complete");
  if (!existsSync(stamp)) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const { file, content } of files) writeFileSync(join(folder, file), content);
    await install("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: folder });
    writeFileSync(stamp, "");
  }
  return folder;
}

/** @throws JudgeUnavailable unless the program answers. */
export async function requireProgram(
  program: string,
  args: readonly string[],
  remedy: string,
): Promise<string> {
  try {
    return await requireOutput(program, args, { timeoutMs: VERSION_TIMEOUT_MS });
  } catch (cause) {
    throw new JudgeUnavailable(`${program} is missing: ${remedy}`, { cause });
  }
}

async function install(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string },
): Promise<string> {
  const { code, stdout, stderr } = await runCommand(program, args, {
    ...options,
    timeoutMs: INSTALL_TIMEOUT_MS,
  });
  if (code !== 0)
    throw new JudgeUnavailable(`${program} ${args.join(" ")}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}
