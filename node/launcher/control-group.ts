/**
 * A control group of its own for a launched process, where the launcher may make one (root, or a delegated group).
 *
 * The group binds the identity to the process and everything it starts, and is how all of them are ended together.
 *
 * @see cgroups(7), "cgroups version 2"
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseControlGroup } from "../attest/proc-files.ts";

const REMOVE_ATTEMPTS = 20;
const REMOVE_WAIT_MS = 25;

/** A group that exists until `remove`. */
export interface ControlGroupHandle {
  /** As `/proc/<pid>/cgroup` shows it. */
  readonly path: string;
  /** A process that writes its number here joins. */
  readonly joinFile: string;
  /** Kills what is left in it. */
  readonly kill: () => void;
  readonly remove: () => Promise<void>;
}

/** A new group below the launcher's own, or undefined where none can be made. */
export function createControlGroup(name: string): ControlGroupHandle | undefined {
  const mount = findUnifiedMount(readText("/proc/self/mountinfo"));
  const own = parseControlGroup(readText("/proc/self/cgroup")).path ?? "";
  if (mount === undefined) return undefined;
  const path = `${own}/${name}`;
  const directory = join(mount, path);
  try {
    mkdirSync(directory, { mode: 0o755 });
  } catch {
    // Safe: without a group the identity is bound more weakly, and the report says so.
    return undefined;
  }
  const kill = (): void => {
    try {
      writeFileSync(join(directory, "cgroup.kill"), "1");
    } catch {
      // Safe: before Linux 5.14 there is no such file; the process itself is signalled by its launcher.
    }
  };
  return {
    path,
    joinFile: join(directory, "cgroup.procs"),
    kill,
    remove: () => removeGroup(directory, kill),
  };
}

/** Where the unified hierarchy is mounted. @param text - `/proc/self/mountinfo`. */
export function findUnifiedMount(text: string): string | undefined {
  for (const line of text.split("\n")) {
    const [mounted = "", kind = ""] = line.split(" - ");
    if (kind.startsWith("cgroup2 ")) return mounted.split(" ")[4];
  }
  return undefined;
}

/** A group can be removed when its last process is gone, which the kernel needs a moment for. */
async function removeGroup(directory: string, kill: () => void): Promise<void> {
  for (let attempt = 0; attempt < REMOVE_ATTEMPTS; attempt += 1) {
    try {
      rmdirSync(directory);
      return;
    } catch {
      // Safe: tried again; an empty group that stays behind binds nobody.
      kill();
      await new Promise((resolve) => setTimeout(resolve, REMOVE_WAIT_MS));
    }
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Safe: a system without it has no groups.
    return "";
  }
}
