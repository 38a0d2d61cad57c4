/** A language model of the AI SDK that says what a script says, step by step. */
import { MockLanguageModelV4 } from "ai/test";

type LanguageModelV4StreamPart =
  Awaited<ReturnType<MockLanguageModelV4["doStream"]>>["stream"] extends ReadableStream<infer Part>
    ? Part
    : never;

const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};
type Call = readonly [name: string, input: object];
type Step = string | readonly Call[];

const finish = (unified: "stop" | "tool-calls") => ({
  finishReason: { unified, raw: unified },
  usage: USAGE,
});
let calls = 0;
const toolCallsOf = (step: readonly Call[]) =>
  step.map(([toolName, input]) => {
    calls += 1;
    return {
      type: "tool-call" as const,
      toolCallId: `call-${calls}`,
      toolName,
      input: JSON.stringify(input),
    };
  });

/** A model that says what the script says, step by step. */
export function scripted(...steps: readonly Step[]): MockLanguageModelV4 {
  const left = [...steps];
  const next = () => left.shift() ?? "the script is over";
  return new MockLanguageModelV4({
    doGenerate: async () => {
      const step = next();
      if (typeof step === "string")
        return { content: [{ type: "text", text: step }], ...finish("stop"), warnings: [] };
      return { content: toolCallsOf(step), ...finish("tool-calls"), warnings: [] };
    },
    doStream: async () => ({ stream: ReadableStream.from(partsOf(next())) }),
  });
}

function* partsOf(step: Step): Generator<LanguageModelV4StreamPart> {
  yield { type: "stream-start", warnings: [] };
  if (typeof step === "string") {
    yield { type: "text-start", id: "t" };
    yield { type: "text-delta", id: "t", delta: step };
    yield { type: "text-end", id: "t" };
    yield { type: "finish", ...finish("stop") };
    return;
  }
  yield* toolCallsOf(step);
  yield { type: "finish", ...finish("tool-calls") };
}
