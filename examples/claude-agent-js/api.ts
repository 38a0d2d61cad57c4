/** A model's API on loopback that says what a script says, so that the example needs no key; leave it out to use the real one. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A text, or a call of a tool. */
export type Step = string | { readonly name: string; readonly input: object };

/** Starts it on a free port. @param script - one step an answer. */
export async function startApi(
  script: Step[],
): Promise<{ readonly url: string; readonly close: () => void }> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const { stream, tools } = JSON.parse(body || "{}");
    // Only the agent's own turns have tools; the program asks for titles and the like besides.
    const step = tools?.length > 0 ? (script.shift() ?? "") : "";
    response.writeHead(stream === true ? 200 : 404, { "content-type": "text/event-stream" });
    for (const event of stream === true ? eventsOf(step) : [])
      response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port }: Pick<AddressInfo, "port"> = Object(server.address());
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

function* eventsOf(step: Step): Generator<{ readonly type: string; readonly [member: string]: unknown }> {
  const usage = { input_tokens: 1, output_tokens: 1 };
  const message = { id: "msg_1", type: "message", role: "assistant", model: "scripted", content: [], usage };
  yield { type: "message_start", message: { ...message, stop_reason: null, stop_sequence: null } };
  const isText = typeof step === "string";
  const content_block = isText
    ? { type: "text", text: "" }
    : { type: "tool_use", id: `toolu_${crypto.randomUUID().slice(0, 8)}`, name: step.name, input: {} };
  yield { type: "content_block_start", index: 0, content_block };
  const delta = isText
    ? { type: "text_delta", text: step }
    : { type: "input_json_delta", partial_json: JSON.stringify(step.input) };
  yield { type: "content_block_delta", index: 0, delta };
  yield { type: "content_block_stop", index: 0 };
  const stop_reason = isText ? "end_turn" : "tool_use";
  yield { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage };
  yield { type: "message_stop" };
}
