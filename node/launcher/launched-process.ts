/**
 * The launched process: started inside its binding, signalled as its launcher is, and never outliving it.
 *
 * A shell line joins the control group before the program begins, so that nothing of the program runs outside it; a pipe
 * to that shell would be no use, since exec keeps the process. `setpriv` takes the account and asks the kernel to end the
 * process when its launcher dies.
 *
 * @see setpriv(1), prctl(2) PR_SET_PDEATHSIG
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** As shells say it. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const SIGNAL_BASE = 128;
/** From asking to ending by force. */
const KILL_AFTER_MS = 5_000;
const FORWARDED = ["SIGHUP", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT"] as const;
const SETPRIV = ["/usr/bin/setpriv", "/bin/setpriv"] as const;
/** Joins a group, then becomes the program; the group's file is the first argument. */
const JOIN = 'echo $$ > "$0" && exec "$@"';

/** What is started. */
export interface LaunchOptions {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** A control group's `cgroup.procs`. */
  readonly joinFile?: string | undefined;
  /** Another account; needs root. */
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
  /** Whom signals are for, when it is not the process itself: walls end at once and tell nobody inside. */
  readonly findTarget?: ((pid: number) => number | undefined) | undefined;
  /** Whether a terminal tells the process of an interrupt by itself. */
  readonly isOnTerminal: boolean;
  /** The launcher's signals, passed on from before the process's first instruction until it has ended. */
  readonly signals: NodeJS.EventEmitter;
}

/** A process that runs. */
export interface LaunchedProcess {
  readonly pid: number;
  /** The exit code as a shell would give it. */
  readonly ended: Promise<number>;
  /** Asks it to end, and insists after five seconds. */
  readonly stop: () => void;
}

/**
 * Starts the process.
 *
 * @throws TrustWardenError `launch_failed` when the program cannot be started, or the account cannot be taken.
 */
export async function launchProcess(options: LaunchOptions): Promise<LaunchedProcess> {
  const [program = "", ...rest] = formatCommand(options);
  let told: ChildProcess | undefined;
  // Before there is anybody to tell: whoever hears the process's first word may answer with a signal.
  forward(options, (signal) => {
    if (told !== undefined) tell(told, signal, options);
  });
  const child = spawn(program, rest, {
    stdio: "inherit",
    env: { ...options.environment },
    // Another account must not type into the terminal of whoever started it: a session of its own has none.
    detached: options.account !== undefined,
  });
  told = child;
  const ended = endOf(child);
  const started = Promise.withResolvers<void>();
  child.once("spawn", started.resolve);
  child.once("error", (cause) =>
    started.reject(new TrustWardenError("launch_failed", { program: program.slice(0, 256) }, { cause })),
  );
  await started.promise;
  const { pid } = child;
  if (pid === undefined) throw new TrustWardenError("launch_failed", { program });
  return {
    pid,
    ended,
    stop: () => stop(child, options),
  };
}

function formatCommand({ command, joinFile, account }: LaunchOptions): readonly string[] {
  const setpriv = SETPRIV.find((path) => existsSync(path));
  if (setpriv === undefined && account !== undefined)
    throw new TrustWardenError("launch_failed", {
      reason: "setpriv (util-linux) is needed to change the account",
    });
  const identity =
    account === undefined ? [] : ["--reuid", `${account.uid}`, "--regid", `${account.gid}`, "--clear-groups"];
  const bound =
    setpriv === undefined ? command : [setpriv, ...identity, "--pdeathsig", "KILL", "--", ...command];
  // The group is joined first, with the launcher's rights.
  return joinFile === undefined ? bound : ["/bin/sh", "-c", JOIN, joinFile, ...bound];
}

async function endOf(child: ChildProcess): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  child.once("error", (error) =>
    resolve("code" in error && error.code === "EACCES" ? NOT_EXECUTABLE : NOT_FOUND),
  );
  child.once("exit", (code, signal) =>
    resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal])),
  );
  return promise;
}

/** Falls back to the process itself, which never means that less ends. */
function tell(child: ChildProcess, signal: NodeJS.Signals, { findTarget }: LaunchOptions): void {
  const isRunning = child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  const target = isRunning && child.pid !== undefined ? findTarget?.(child.pid) : undefined;
  if (target === undefined) {
    child.kill(signal);
    return;
  }
  try {
    process.kill(target, signal);
  } catch {
    // Safe: the program inside has just ended, and so its walls may.
    child.kill(signal);
  }
}

function stop(child: ChildProcess, options: LaunchOptions): void {
  tell(child, "SIGTERM", options);
  const timer = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  child.once("exit", () => clearTimeout(timer));
}

/** The terminal sends its interrupt to the whole foreground group; passing it on as well would make it two. */
function forward(
  { signals, isOnTerminal, account }: LaunchOptions,
  pass: (signal: NodeJS.Signals) => void,
): void {
  for (const signal of FORWARDED) signals.on(signal, () => pass(signal));
  signals.on("SIGINT", () => {
    if (!isOnTerminal || account !== undefined) pass("SIGINT");
  });
}
