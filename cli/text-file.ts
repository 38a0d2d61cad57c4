/** Files that a command line names. */
import { readFileSync } from "node:fs";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** The text of a file. @throws TrustWardenError `not_found` when it cannot be read. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TrustWardenError("not_found", { why: `${path} cannot be read` }, { cause });
  }
}
