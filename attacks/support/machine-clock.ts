/**
 * Moves the wall clock of one process, as somebody with the machine could: loaded before the program, it adds what a
 * file says, in milliseconds, to `Date.now`. The monotonic clock goes on, as it does on a real machine.
 */
import { existsSync, readFileSync } from "node:fs";

const READ_EVERY_MS = 50;
const path = process.env.ATTACK_CLOCK_FILE ?? "";
const realNow = Date.now.bind(Date);
let offsetMs = 0;
let readAtMs = Number.NEGATIVE_INFINITY;

Date.now = (): number => {
  const nowMs = realNow();
  if (nowMs - readAtMs >= READ_EVERY_MS) {
    readAtMs = nowMs;
    offsetMs = readOffset();
  }
  return nowMs + offsetMs;
};

/** Nothing until somebody writes the file. */
function readOffset(): number {
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
}
