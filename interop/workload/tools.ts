/**
 * Puts the strangers' Workload API clients where they can be run: each built or installed into `.cache/interop` from
 * files that pin everything by the digest of its content (`go.sum`, `spiffe.txt`, `Cargo.lock`, `java/jars.sha256`).
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../command.ts";
import { JudgeUnavailable, type Lab } from "../judge.ts";
import { requireGoTools, requireProgram } from "../tools.ts";

const INSTALL_TIMEOUT_MS = 900_000;
const MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

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

/**
 * Maven's `java-spiffe`, with one class of its own replaced (`java/GrpcManagedChannelFactory.java` says why). Every jar that Maven
 * brings must be on the list, byte for byte, and no other.
 */
export async function requireJavaClient({ root, cache }: Lab): Promise<WorkloadClient> {
  await requireProgram("mvn", ["--version"], "install Java 17 and Maven");
  const source = join(root, "interop", "workload", "java");
  const files = ["pom.xml", "jars.sha256", "Judge.java", "GrpcManagedChannelFactory.java"];
  const [pom = "", list = "", ...classes] = files.map((name) => join(source, name));
  const folder = await once(join(cache, `java-spiffe-${digestOf(pom, list, ...classes)}`), async (place) => {
    const jars = join(place, "jars");
    const copy = ["--quiet", "--batch-mode", `${MAVEN_COPY}:copy-dependencies`, `-DoutputDirectory=${jars}`];
    await install("mvn", ["-f", pom, ...copy], {});
    requireListed(jars, list);
    await install("javac", ["-cp", join(jars, "*"), "-d", join(place, "classes"), ...classes], {});
  });
  const path = [join(folder, "classes"), join(folder, "jars", "*")].join(":");
  return { program: "java", args: ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path, "Judge"] };
}

/** @throws JudgeUnavailable unless the folder holds exactly what the list names. */
function requireListed(folder: string, list: string): void {
  const found = readdirSync(folder)
    .toSorted()
    .map(
      (name) =>
        `${createHash("sha256")
          .update(readFileSync(join(folder, name)))
          .digest("hex")}  ${name}`,
    );
  if (`${found.join("\n")}\n` !== readFileSync(list, "utf8"))
    throw new JudgeUnavailable(`the jars in ${folder} are not those of ${list}`);
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
