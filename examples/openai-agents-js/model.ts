/** Models that say what a script says, so that the example needs no provider; leave them out to use OpenAI's. */
import { type Model, type ModelResponse, Usage } from "@openai/agents";

type Output = ModelResponse["output"][number];

const call = (name: string, input: object): Output => ({
  type: "function_call",
  callId: crypto.randomUUID(),
  name,
  status: "completed",
  arguments: JSON.stringify(input),
});
const say = (text: string): Output => ({
  type: "message",
  role: "assistant",
  status: "completed",
  content: [{ type: "output_text", text }],
});

function scripted(...steps: Output[]): Model {
  return {
    getResponse: async () => {
      const step = steps.shift();
      return { usage: new Usage(), output: step === undefined ? [] : [step] };
    },
    getStreamedResponse: () => {
      throw new Error("the example does not stream");
    },
  };
}

export const supportModel = scripted(call("transfer_to_researcher", {}));
export const researchModel = scripted(
  call("read_page", { page: "parcels/7" }),
  call("delete_page", { page: "parcels/7" }),
  say("Parcel 7 arrives tomorrow; and I may not delete pages."),
);
export const clerkModel = scripted(
  call("read_record", { id: "7" }),
  call("read_record", { id: "8" }),
  say("Record 7 is paid; of 8 I may know nothing."),
);
