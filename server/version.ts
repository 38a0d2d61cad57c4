/** The version of the server, as its package says it. */
import { readFileSync } from "node:fs";
import { parseJsonObject } from "@trustwarden/core/json.ts";

/** Semantic version. */
export const SERVER_VERSION = readVersion();

function readVersion(): string {
  const { version } = parseJsonObject(readFileSync(new URL("package.json", import.meta.url), "utf8"));
  if (typeof version !== "string") throw new Error("the package has a version");
  return version;
}
