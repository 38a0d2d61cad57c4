/** The functions that a policy's module may ask of its host: those of `policies/capabilities.json`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, parseJsonObject } from "@trustwarden/core/json.ts";

const CAPABILITIES = "capabilities.json";

/** Names of the functions. @throws TrustWardenError `policy_unavailable` when the file cannot be read. */
export function readHostBuiltins(policyDir: string): readonly string[] {
  const { builtins } = parseJsonObject(readText(join(policyDir, CAPABILITIES)));
  const names = Array.isArray(builtins)
    ? builtins.map((item) => (isJsonObject(item) ? item.name : null))
    : [];
  return names.filter((name) => typeof name === "string");
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TrustWardenError("policy_unavailable", { reason: "not readable", path }, { cause });
  }
}
