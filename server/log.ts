/**
 * The log of the server: JSON lines on standard error, by pino.
 *
 * Only ids, codes, counts and route names are ever handed to it; the type of `EventLog` admits no objects, so that no
 * header, body, key or token can slip in with one.
 */
import pino from "pino";
import type { EventLog } from "./http/services.ts";

const STANDARD_ERROR = 2;
/** Should anything of these names ever be given all the same, it is not written. */
const NEVER_WRITTEN = [
  "authorization",
  "cookie",
  "headers",
  "body",
  "intent",
  "ticket",
  "key",
  "secret",
  "svid",
];

/** A log at a level; `silent` writes nothing. */
export function createLog(
  level: string,
): EventLog & { fatal(facts: { readonly code: string }, message: string): void } {
  const destination = pino.destination({ fd: STANDARD_ERROR, sync: true });
  return pino({ level, base: null, redact: { paths: NEVER_WRITTEN, remove: true } }, destination);
}
