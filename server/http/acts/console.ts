/** The console's pages and files. */
import type { RawAnswer } from "../route.ts";
import type { Services } from "../services.ts";

/** @throws TrustWardenError `not_found`. */
export async function readConsolePage({ consoleFiles }: Services, path: string): Promise<RawAnswer> {
  return consoleFiles.read(path);
}
