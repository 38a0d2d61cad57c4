/** Starting a process: its exit code is told, and what cannot be started is refused before anything is enrolled. */
import { EventEmitter } from "node:events";
import { systemRuntime } from "trustwarden/peer.ts";
import { afterEach, expect, test, vi } from "vitest";
import { launchProcess } from "./launched-process.ts";
import { runLaunched } from "./run.ts";

afterEach(() => vi.restoreAllMocks());

test("a process runs, and its exit code is told", async () => {
  const environment = { PATH: process.env.PATH ?? "" };
  const launched = await launchProcess({
    command: ["/bin/sh", "-c", "exit 7"],
    environment,
    isOnTerminal: false,
    signals: new EventEmitter(),
  });
  expect([launched.pid > 0, await launched.ended]).toEqual([true, 7]);
});

test("a signal of the launcher reaches the process from its first word on", async () => {
  const signals = new EventEmitter();
  const environment = { PATH: process.env.PATH ?? "" };
  const command = ["/bin/sh", "-c", 'trap "exit 5" TERM; while :; do sleep 0.05; done'];
  const launched = await launchProcess({ command, environment, isOnTerminal: false, signals });
  // Until the shell has its trap, it ends by the signal itself: it is heard either way.
  signals.emit("SIGTERM");
  expect([5, 143]).toContain(await launched.ended);
});

test("a process of another account is launch_failed for whoever is not root", async () => {
  vi.spyOn(process, "getuid").mockReturnValue(1000);
  const launched = runLaunched({
    identity: { kind: "ticket", ticket: "" },
    command: ["/bin/true"],
    environment: {},
    keep: [],
    account: { uid: 54_321, gid: 54_321 },
    endsOnRevoke: true,
    isOnTerminal: false,
    onReady: () => undefined,
    runtime: systemRuntime,
    signals: new EventEmitter(),
  });
  await expect(launched).rejects.toMatchObject({ code: "launch_failed" });
});
