#!/usr/bin/env node
/**
 * The `warden` command: reads the process's arguments, environment and clock, runs one command, sets the exit code.
 *
 * Exit codes: 0 done, 1 refused or failed, 2 the command was written wrongly.
 */
import { randomBytes } from "node:crypto";
import { homedir } from "node:os";
import { runProgram } from "./program.ts";

// Whoever reads may leave early, as `head` does: that is no failure, and a command that goes on writing to nobody ends.
let isUnread = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    isUnread ||= stream === process.stdout;
  });
}

process.exitCode = await runProgram(process.argv.slice(2), {
  env: process.env,
  home: process.env.HOME ?? homedir(),
  stdout: (text) => {
    if (isUnread) process.exit(0);
    process.stdout.write(text);
  },
  stderr: (text) => void process.stderr.write(text),
  nowMs: () => Date.now(),
  random: (length) => new Uint8Array(randomBytes(length)),
});
