/** Text in pieces is searched as its reader puts it together. */
import { describe, expect, it } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { Automaton } from "../broker/echo/automaton.ts";
import { createCanaryWatch } from "../broker/echo/canaries.ts";
import { formsOf } from "../broker/echo/forms.ts";
import { createRedactor } from "../broker/echo/redactor.ts";
import { textDeltasOf } from "./llm/text-deltas.ts";
import { WatchedText } from "./watched-text.ts";

const SECRET = "sk-live-Zx81/plk+09";
const CANARY = "cnry_Planted/Row+77";

function watch() {
  const found: string[] = [];
  const canaries = createCanaryWatch([{ name: "row", value: CANARY }]);
  const text = new WatchedText({
    canaries: () => canaries.stream(),
    redactor: () => createRedactor(new Automaton(formsOf(SECRET, 0))),
    refuse: async (names) => void found.push(...names),
  });
  return { text, found };
}

describe("text in pieces", () => {
  it.each([CANARY, Buffer.from(CANARY).toString("hex")])(
    "is found whole, however it is cut: %s",
    async (planted) => {
      for (let size = 1; size < 8; size += 1) {
        const { text, found } = watch();
        for (let at = 0; at < planted.length; at += size) await text.push("a", planted.slice(at, at + size));
        expect(found).toEqual(["row"]);
      }
    },
  );

  it("of two places is not one text", async () => {
    const { text, found } = watch();
    await text.push("a", CANARY.slice(0, 9));
    await text.push("b", CANARY.slice(9));
    expect(found).toEqual([]);
  });

  it("waits while it may be the beginning of a secret, and ends where it is one", async () => {
    const { text } = watch();
    await text.push("a", "the key is sk-");
    expect(text.isSettled).toBe(true);
    await text.push("a", "live");
    expect(text.isSettled).toBe(false);
    await text.push("b", "another place");
    expect(text.isSettled).toBe(false);
    await text.push("a", " a life");
    expect(text.isSettled).toBe(true);
    for (const piece of ["sk-live", "-Zx81/p"]) await text.push("a", piece);
    expect(text.isSettled).toBe(false);
    await expectRejection(text.push("a", "lk+09"), "upstream_answer_refused");
  });

  it("is written to so many places at once, and no more", async () => {
    const { text } = watch();
    for (let place = 0; place < 256; place += 1) await text.push(String(place), "x");
    await expectRejection(text.push("256", "x"), "upstream_answer_refused");
  });
});

describe("an event of a model's stream", () => {
  it.each([
    [
      "chat",
      {
        choices: [
          {
            index: 1,
            delta: {
              role: "assistant",
              content: "a",
              tool_calls: [{ index: 2, function: { arguments: "b" } }],
            },
          },
        ],
      },
      ["a", "b"],
    ],
    ["completion", { choices: [{ index: 0, text: "a" }] }, ["a"]],
    ["responses", { type: "response.output_text.delta", item_id: "m", content_index: 0, delta: "a" }, ["a"]],
    ["Anthropic", { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "a" } }, ["a"]],
    ["a note", { type: "ping" }, []],
  ] as const)("has its pieces: %s", (_, event, texts) => {
    const deltas = textDeltasOf(JSON.parse(JSON.stringify(event)));
    expect(deltas.map(({ text }) => text)).toEqual(texts);
    expect(new Set(deltas.map(({ channel }) => channel)).size).toBe(texts.length);
  });

  it("continues the place that it names, wherever it stands in the list", () => {
    const [first] = textDeltasOf({ choices: [{ index: 1, delta: { content: "a" } }] });
    const [, second] = textDeltasOf({
      choices: [
        { index: 0, delta: { content: "x" } },
        { index: 1, delta: { content: "b" } },
      ],
    });
    expect(first?.channel).toBe(second?.channel);
  });
});
