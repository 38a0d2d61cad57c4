/** The receipt that comes with an answer: proven and kept before anybody reads the answer. */
import type { IncomingMessage } from "node:http";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { DecisionRecord } from "@trustwarden/core/event.ts";
import { type AgentSession, RECEIPT_HEADER, type SignedAction } from "./agent-session.ts";
import { openReceipt, parseReceiptHeader } from "./receipt.ts";

/**
 * A success must come with a receipt that allows it; a deny comes with one that says so.
 *
 * @throws TrustWardenError `approval_required`, or `receipt_invalid`; the answer is then thrown away.
 */
export async function requireReceipt(
  session: AgentSession,
  message: IncomingMessage,
  {
    signed,
    enforcement,
  }: {
    readonly signed: SignedAction;
    readonly enforcement: DecisionRecord["enforcement"];
  },
): Promise<void> {
  const header = message.headers[RECEIPT_HEADER];
  const isSuccess = (message.statusCode ?? 0) < 400;
  if (header === undefined && !isSuccess) return;
  try {
    if (typeof header !== "string") throw new TrustWardenError("receipt_invalid", { reason: "no receipt" });
    const opened = openReceipt(parseReceiptHeader(header));
    const verified = await session.keepReceipt(opened, { signed, enforcement });
    session.questions.requireAnswered(signed, verified);
    if (isSuccess && !verified.decision.allow)
      throw new TrustWardenError("receipt_invalid", { reason: "denied" });
  } catch (error) {
    message.destroy();
    throw error;
  }
}
