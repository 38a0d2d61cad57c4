/**
 * The name of a deployment's ledger. A restore that lost the end of the log begins another one: going on with the old name and key would
 * sign a second history of it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ServerConfig } from "../config.ts";

const FILE = "ledger-origin";
const SUFFIX = /^ledger\d{1,6}\.$/;

/** Where a data directory says that its ledger is not the first. */
export function originFile(dataDir: string): string {
  return join(dataDir, FILE);
}

/** @throws TrustWardenError `config_invalid` when the file names no ledger of this trust domain. */
export function originOf({ dataDir, trustDomain }: Pick<ServerConfig, "dataDir" | "trustDomain">): string {
  let text: string;
  try {
    text = readFileSync(originFile(dataDir), "utf8").trim();
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return `ledger.${trustDomain}`;
    throw new TrustWardenError("config_invalid", { setting: "dataDir", reason: FILE }, { cause });
  }
  if (!text.endsWith(trustDomain) || !SUFFIX.test(text.slice(0, -trustDomain.length)))
    throw new TrustWardenError("config_invalid", { setting: "dataDir", reason: FILE });
  return text;
}

/** The name of the ledger that comes after this one. */
export function nextOrigin(origin: string, trustDomain: string): string {
  const generation = Number(/^ledger(\d+)\./.exec(origin)?.[1] ?? 1);
  return `ledger${generation + 1}.${trustDomain}`;
}
