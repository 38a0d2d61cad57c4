/** A reader that leaves early, as `head` does, is no failure of the command and gets no stack trace. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));

it("ends well when nobody reads what it says", () => {
  // The shell gives the command's own exit code and what it said to standard error, whoever read its output.
  const line = '{ "$0" "$1" --help 2>&3; echo "$?" >&3; } | true';
  const said = execFileSync("/bin/sh", ["-c", `exec 3>&1; ${line}`, process.execPath, MAIN], {
    encoding: "utf8",
  });
  expect(said).toBe("0\n");
});
