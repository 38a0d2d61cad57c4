/** An upstream's answer that is looked at as a whole, and so has an end. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { GrowingBytes } from "@trustwarden/core/growing-bytes.ts";
import type { UpstreamAnswer } from "./ports.ts";

/** All bytes of an answer. @throws TrustWardenError `upstream_answer_refused` for more than `maxBytes`. */
export async function readWhole(
  { body }: Pick<UpstreamAnswer, "body">,
  maxBytes: number,
): Promise<Uint8Array> {
  const whole = new GrowingBytes();
  for await (const part of body) {
    if (whole.length + part.length > maxBytes)
      throw new TrustWardenError("upstream_answer_refused", { reason: "too large" });
    whole.add(part);
  }
  return whole.view();
}
