/**
 * What a model reads when its tool call was refused: enough to go on, no more than the agent may know.
 */
import { TrustWardenError } from "trustwarden";
import type { ToolCall } from "./tool-rules.ts";

/** Every code whose call has done nothing; other failures are the tool's own. */
export function describeRefusal(error: unknown, { tool, action }: Pick<ToolCall, "tool" | "action">): string {
  if (!(error instanceof TrustWardenError)) return `${tool} failed.`;
  const { code } = error;
  if (code === "approval_required" || code.startsWith("approval_"))
    return `${tool} was not run (${code}): ${action} needs the yes of its owner. Go on without it.`;
  return `${tool} was not run (${code}): ${action} is not allowed here. Go on without it; the same call will be refused again.`;
}
