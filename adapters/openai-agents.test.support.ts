/** A model of OpenAI Agents that follows a script, and what its tools answered. */
import { type Model, type ModelResponse, Usage } from "@openai/agents";

let calls = 0;
type Step = string | readonly (readonly [name: string, input: object])[];

/** A model that says what the script says, step by step. */
export function scripted(...steps: readonly Step[]): Model {
  const left = [...steps];
  const outputOf = (step: Step): ModelResponse["output"] => {
    if (typeof step === "string")
      return [
        {
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: step }],
        },
      ];
    return step.map(([name, input]) => {
      calls += 1;
      return {
        type: "function_call",
        callId: `call-${calls}`,
        name,
        status: "completed",
        arguments: JSON.stringify(input),
      };
    });
  };
  return {
    getResponse: async () => ({ usage: new Usage(), output: outputOf(left.shift() ?? "the script is over") }),
    getStreamedResponse: () => {
      throw new Error("not in this script");
    },
  };
}

/** What the model reads of each call, in their order. */
export const resultsOf = (result: { readonly newItems: readonly { readonly type: string }[] }) =>
  result.newItems
    .filter(({ type }) => type === "tool_call_output_item")
    .map((item) => {
      const { output } = Object(item);
      return String(output.text ?? output);
    });
