/**
 * How a secret is shown: never. What is shown is its last characters and a fingerprint under a salt of this machine, by which
 * one value is known again in another place and in the next scan, and which tells nobody else anything.
 */
import { createHmac } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "@trustwarden/core/id.ts";

const SALT_BYTES = 32;
const SHOWN_CHARS = 4;
/** Of a shorter value four characters would be a good part. */
const MIN_CHARS_TO_SHOW = 16;
const FINGERPRINT_CHARS = 12;

/** The value with stars for everything but its last characters. */
export function maskSecret(value: string): string {
  return value.length < MIN_CHARS_TO_SHOW ? "****" : `****${value.slice(-SHOWN_CHARS)}`;
}

/** Twelve hexadecimal characters; equal for equal values under one salt. */
export function fingerprintOf(value: string, salt: Uint8Array): string {
  return createHmac("sha256", salt).update(value).digest("hex").slice(0, FINGERPRINT_CHARS);
}

/**
 * The salt of this machine, made when there is none; of this run only where it cannot be kept.
 *
 * @param configDir - the user's configuration directory.
 */
export function openSalt(
  configDir: string,
  random: Random,
): { readonly salt: Uint8Array; readonly isKept: boolean } {
  const path = join(configDir, "scan-salt");
  const kept = readSalt(path);
  if (kept !== undefined) return { salt: kept, isKept: true };
  const salt = random(SALT_BYTES);
  try {
    mkdirSync(configDir, { recursive: true, mode: 0o700 });
    writeFileSync(path, salt, { mode: 0o600, flag: "wx" });
    return { salt, isKept: true };
  } catch {
    // Safe: a scan still finds everything; another one made at the same moment is read, or fingerprints count for this run only.
    const other = readSalt(path);
    return { salt: other ?? salt, isKept: other !== undefined };
  }
}

function readSalt(path: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(path);
    if (bytes.length !== SALT_BYTES) return undefined;
    chmodSync(path, 0o600);
    return new Uint8Array(bytes);
  } catch {
    // Safe: there is none yet, and one is made.
    return undefined;
  }
}
