/**
 * The version of the command, from its own package manifest.
 */
import { readFileSync } from "node:fs";
import { parseJsonObject } from "@trustwarden/core/json.ts";

const manifest = parseJsonObject(readFileSync(new URL("./package.json", import.meta.url), "utf8"));

export const CLI_VERSION = typeof manifest.version === "string" ? manifest.version : "unknown";
