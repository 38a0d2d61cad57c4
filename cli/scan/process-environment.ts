/** The environment that a process was started with, as Linux shows it to its account. */
import { readFileSync } from "node:fs";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** The kernel's own bound is the stack's; more is not looked at. */
const MAX_BYTES = 4_194_304;

/**
 * One assignment a line, line ends within a value blanked.
 *
 * @throws TrustWardenError `not_found` for a process that is gone, of another account, or on another system than Linux.
 */
export function readProcessEnvironment(pid: number): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(`/proc/${pid}/environ`);
  } catch (cause) {
    throw new TrustWardenError(
      "not_found",
      {
        why: `the environment of process ${pid} cannot be read`,
        next: "Run as its account, on Linux, while it runs.",
      },
      { cause },
    );
  }
  return bytes.subarray(0, MAX_BYTES).toString("utf8").replaceAll("\n", " ").replaceAll("\0", "\n");
}
