/** Models that say what a script says, so that the example needs no provider; put yours in their place. */
import { MockLanguageModelV4 } from "ai/test";

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

const call = (toolName: string, input: object) => ({
  content: [
    { type: "tool-call" as const, toolCallId: crypto.randomUUID(), toolName, input: JSON.stringify(input) },
  ],
  finishReason: { unified: "tool-calls" as const, raw: "tool_calls" },
  usage,
  warnings: [],
});
const say = (text: string) => ({
  content: [{ type: "text" as const, text }],
  finishReason: { unified: "stop" as const, raw: "stop" },
  usage,
  warnings: [],
});

export const supportModel = new MockLanguageModelV4({
  doGenerate: [call("research", { question: "Where is parcel 7?" }), say("Parcel 7 arrives tomorrow.")],
});
export const researchModel = new MockLanguageModelV4({
  doGenerate: [
    call("read_page", { page: "parcels/7" }),
    call("delete_page", { page: "parcels/7" }),
    say("Tomorrow; and I may not delete pages."),
  ],
});
export const clerkModel = new MockLanguageModelV4({
  doGenerate: [
    call("read_record", { id: "7" }),
    call("read_record", { id: "8" }),
    say("Record 7 is paid; of 8 I may know nothing."),
  ],
});
