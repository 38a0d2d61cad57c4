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
  });
  expect([launched.pid > 0, await launched.ended]).toEqual([true, 7]);
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
