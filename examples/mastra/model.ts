/** Models that say what a script says, so that the example needs no provider; put yours in their place. */
import type { AgentConfig } from "@mastra/core/agent";
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

/** The mock is more exact about streams than Mastra's type of a model, which it is all the same. */
function scripted(...doGenerate: (ReturnType<typeof call> | ReturnType<typeof say>)[]): AgentConfig["model"] {
  return Object(new MockLanguageModelV4({ doGenerate }));
}

export const supportModel: AgentConfig["model"] = scripted(
  call("research", { question: "Where is parcel 7?" }),
  say("Parcel 7 arrives tomorrow."),
);
export const researchModel: AgentConfig["model"] = scripted(
  call("read_page", { page: "parcels/7" }),
  call("delete_page", { page: "parcels/7" }),
  say("Tomorrow; and I may not delete pages."),
);
export const clerkModel: AgentConfig["model"] = scripted(
  call("records_read_record", { id: "7" }),
  call("records_read_record", { id: "8" }),
  say("Record 7 is paid; of 8 I may know nothing."),
);
