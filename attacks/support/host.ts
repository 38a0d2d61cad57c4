/** A host of a world: its node as a process of its own, and programs of its accounts. */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRoot, NOBODY } from "../../node/attest/attest.test.support.ts";
import { type Caller, startCaller } from "../../node/caller.test.support.ts";
import { sendAdmin } from "../../test/support/http.ts";
import type { RunningChild } from "./child.ts";
import type { World } from "./world.ts";

/** The account of everybody on the host. */
export const ACCOUNT = NOBODY;

/** What a scenario with accounts of a host lacks. */
export function missingForAccounts(): string | undefined {
  if (process.platform !== "linux") return "Linux";
  return isRoot ? undefined : "root, for processes of other accounts";
}

/** What a scenario with sandboxes lacks. */
export function missingForWalls(): string | undefined {
  const walls = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]);
  return walls.status === 0 ? undefined : "bubblewrap, or a kernel that lets it make namespaces";
}

/** A host that joined the world. */
export interface Host {
  /** Of its Workload API. */
  readonly socketPath: string;
  readonly node: RunningChild;
  /** A program that no other process of the host runs. */
  readonly bank: Program;
}

/** A program on disk. */
export interface Program {
  readonly path: string;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** Starts the node of a host, whose other accounts may pass to its socket. */
export async function openHost(world: World): Promise<Host> {
  const name = world.name("host");
  const base = join(world.home.dataDir, "..");
  const directory = join(base, name);
  mkdirSync(directory);
  for (const path of [base, directory]) chmodSync(path, 0o755);
  const token = join(directory, "token");
  const made = await world.warden("node", "token", "--name", name);
  if (made.exitCode !== 0) throw new Error(made.output);
  writeFileSync(token, /twj1\.\S+/.exec(made.output)?.[0] ?? "", { mode: 0o600 });
  const socketPath = join(directory, "agent.sock");
  const places = ["--data", join(directory, "data"), "--config-dir", join(directory, "config")];
  const node = await world.launch({
    args: ["cli/main.ts", "node", "--join-token-file", token, "--socket", socketPath, ...places],
    env: { HOME: directory },
  });
  return { socketPath, node, bank: makeProgram(join(directory, "bank")) };
}

/** A process of everybody's account that follows its identity; ends with the world at the latest. */
export function follow(world: World, { socketPath }: Host, program?: string): Caller {
  const caller = startCaller(socketPath, ACCOUNT, program);
  world.adopt(caller.child);
  return caller;
}

/** A copy of Node with other bytes, so that path and digest are its own. */
export function makeProgram(path: string): Program {
  copyFileSync(process.execPath, path);
  // What follows the last section of an executable is not loaded.
  appendFileSync(path, path);
  chmodSync(path, 0o755);
  return { path, sha256: createHash("sha256").update(readFileSync(path)).digest("hex") };
}

/** Replaces the intermediate by force, which makes every live SVID be renewed at once. */
export async function rotateByForce(world: World): Promise<void> {
  const body = JSON.stringify({ step: "rotate", kind: "intermediate", force: true });
  const answer = await sendAdmin(world.server.adminSocket, {
    method: "POST",
    target: "/v1/authority/steps",
    body,
  });
  if (answer.status !== 200) throw new Error(answer.text);
}
