/** The fake model answers as its prompts ask, so that what is tested through it is tested. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FakeModel, startFakeModel } from "./fake-model.ts";

let model: FakeModel;
beforeAll(async () => {
  model = await startFakeModel({ apiKey: "sk-fake" });
});
afterAll(() => model.close());

function ask(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${model.url}${path}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: "Bearer sk-fake",
      "x-api-key": "sk-fake",
      ...headers,
    },
    body: JSON.stringify(body),
  });
}
const chat = (text: string, more: object = {}) =>
  ask("/v1/chat/completions", { model: "gpt-test", messages: [{ role: "user", content: text }], ...more });

describe("the fake model", () => {
  it("answers a chat with the words that it was given, and counts them", async () => {
    expect(await (await chat("hello there #words=3")).json()).toMatchObject({
      choices: [{ message: { content: "hello there word2" } }],
      usage: { prompt_tokens: 4, completion_tokens: 3 },
    });
  });

  it("streams usage only to whom it was asked by", async () => {
    const without = await (await chat("a b", { stream: true })).text();
    expect(without).toContain("data: [DONE]");
    expect(without).not.toContain("usage");
    const options = { stream: true, stream_options: { include_usage: true } };
    expect(await (await chat("a b", options)).text()).toContain('"completion_tokens":8');
  });

  it("refuses a wrong key, an unknown model and a message without limits", async () => {
    expect((await chat("x", { model: "gpt-none" })).status).toBe(404);
    expect(
      (await ask("/v1/messages", { model: "claude-test", messages: [{ role: "user", content: "x" }] }))
        .status,
    ).toBe(400);
    expect(
      (await ask("/v1/embeddings", { model: "embed-test", input: "x" }, { authorization: "Bearer no" }))
        .status,
    ).toBe(401);
  });

  it("breaks off where a prompt says so", async () => {
    const answer = await chat("x #abort=2", { stream: true });
    await expect(answer.text()).rejects.toThrow();
  });
});
