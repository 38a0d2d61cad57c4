/** What a benchmark was asked and does not do; `main.ts` answers it with how it is used. */

/** The message is a whole sentence for a person. */
export class WrongUse extends Error {}

/** Whether somebody asked wrongly; also what `parseArgs` throws for an option that nobody knows, or one without its value. */
export function isWrongUse(error: unknown): error is Error {
  if (error instanceof WrongUse) return true;
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS_");
}
