/**
 * One stdio MCP server as a child process: started from the very file that was hashed, with nothing of our environment,
 * spoken to line by line, killed with everything that it started.
 *
 * @see MCP 2026-07-28 and 2025-11-25, "Transports, stdio"
 */
import { type ChildProcess, type ChildProcessByStdio, type SpawnOptions, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  encodeRpcMessage,
  parseRpcMessage,
  type RpcMessage,
} from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import type { LaunchManifest } from "@trustwarden/core/gateway/mcp/launch-manifest.ts";
import { formatWalls, requireWalls } from "./stdio-walls.ts";

/** Larger lines are no message. */
const MAX_LINE_CHARS = 8_388_608;
const CHUNK_BYTES = 1_048_576;
const MAX_REMEMBERED = 1024;
const PROGRAM_FD = 3;

/**
 * Digests of files that were read, by what the kernel says of the very file: whoever writes to it, or puts another in its
 * place, changes that. Hashing an interpreter of 100 MB at every start would hold up the whole gateway.
 */
const digests = new Map<string, string>();

/** What is started. */
export interface LaunchOrder {
  readonly manifest: LaunchManifest;
  /** Directories and files that no server may see: this one's data and keys. */
  readonly never: readonly string[];
}

/** Owns a child process; `onMessage` gets what it says, `onEnd` that it is gone. */
export class StdioProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #onMessage: (message: RpcMessage) => void;
  #rest = "";
  #isEnded = false;

  /** @throws TrustWardenError `mcp_launch_refused`, `sandbox_unavailable`. */
  constructor(
    { manifest, never }: LaunchOrder,
    on: { readonly message: (message: RpcMessage) => void; readonly end: () => void },
  ) {
    this.#onMessage = on.message;
    this.#child = launch(manifest, never);
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    const end = (): void => {
      if (this.#isEnded) return;
      this.#isEnded = true;
      this.kill();
      on.end();
    };
    this.#child.once("error", end).once("exit", end);
    this.#child.stdin.on("error", end);
    this.#child.stdout.on("error", end);
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** @throws TrustWardenError `upstream_unreachable`. */
  send(message: RpcMessage): void {
    if (this.#isEnded) throw new TrustWardenError("upstream_unreachable", { reason: "the process is gone" });
    this.#child.stdin.write(`${encodeRpcMessage(message)}\n`);
  }

  /** Ends the process and everything in its group. */
  kill(): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Safe: nobody is left in the group.
    }
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_LINE_CHARS) this.kill();
    for (const line of lines) {
      if (line.trim() !== "") this.#take(line);
    }
  }

  /** A line that is no message means that the two of us count differently from here on. */
  #take(line: string): void {
    try {
      this.#onMessage(parseRpcMessage(line, MAX_LINE_CHARS));
    } catch (error) {
      if (!(error instanceof TrustWardenError)) throw error;
      this.kill();
    }
  }
}

function launch(
  manifest: LaunchManifest,
  never: readonly string[],
): ChildProcessByStdio<Writable, Readable, null> {
  const { command, sha256, files } = manifest;
  const descriptor = openChecked(command, sha256);
  try {
    for (const [path, digest] of files) closeSync(openChecked(path, digest));
    return manifest.sandbox === "none"
      ? launchBare(manifest, descriptor)
      : launchWalled(manifest, { descriptor, never });
  } finally {
    closeSync(descriptor);
  }
}

function launchWalled(
  manifest: LaunchManifest,
  { descriptor, never }: { readonly descriptor: number; readonly never: readonly string[] },
): ChildProcessByStdio<Writable, Readable, null> {
  const walls = requireWalls();
  // The file that was hashed, whatever its name leads to inside: it is handed in as the first descriptor after the three.
  const command = [`/proc/self/fd/${PROGRAM_FD}`, ...manifest.args];
  return spawnPiped(walls, formatWalls(manifest, { never, command }), {
    cwd: "/",
    env: { ...manifest.env },
    stdio: ["pipe", "pipe", "ignore", descriptor],
    detached: true,
  });
}

function launchBare(
  { command, args, cwd, env }: LaunchManifest,
  descriptor: number,
): ChildProcessByStdio<Writable, Readable, null> {
  // The file that was hashed, whatever its name leads to by now.
  const program = process.platform === "linux" ? `/proc/self/fd/${descriptor}` : command;
  return spawnPiped(program, args, {
    argv0: command,
    cwd,
    env: { ...env },
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
}

/** The types of Node tell which pipes there are for the three usual descriptors only. */
function spawnPiped(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcessByStdio<Writable, Readable, null> {
  const child = spawn(program, [...args], options);
  if (!hasPipes(child)) throw new Error("both pipes were asked for");
  return child;
}

function hasPipes(child: ChildProcess): child is ChildProcessByStdio<Writable, Readable, null> {
  return child.stdin !== null && child.stdout !== null && child.stderr === null;
}

function openChecked(path: string, digest: string): number {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (cause) {
    throw new TrustWardenError("mcp_launch_refused", { path }, { cause });
  }
  try {
    requireDigest(digestOf(descriptor), digest, path);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function digestOf(descriptor: number): string {
  const { dev, ino, size, mtimeNs, ctimeNs } = fstatSync(descriptor, { bigint: true });
  const identity = [dev, ino, size, mtimeNs, ctimeNs].join(":");
  const known = digests.get(identity);
  if (known !== undefined) return known;
  const digest = readDigest(descriptor);
  if (digests.size >= MAX_REMEMBERED) digests.clear();
  digests.set(identity, digest);
  return digest;
}

function readDigest(descriptor: number): string {
  const hashing = createHash("sha256");
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let at = 0, read = 1; read > 0; at += read) {
    read = readSync(descriptor, chunk, 0, CHUNK_BYTES, at);
    hashing.update(chunk.subarray(0, read));
  }
  return hashing.digest("hex");
}

function requireDigest(found: string, expected: string, path: string): void {
  if (found === expected) return;
  throw new TrustWardenError("mcp_launch_refused", { path, expected_sha256: expected, found_sha256: found });
}
