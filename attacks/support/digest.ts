/** Digests of text, for comparing states. */
import { createHash } from "node:crypto";

/** SHA-256 in lower-case hex. */
export function sha256Hex(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}
