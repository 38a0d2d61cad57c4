import { concatBytes, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseLlmCall } from "@trustwarden/core/gateway/llm-call.ts";
import { parseLlmSettings } from "@trustwarden/core/gateway/llm-settings.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dataOfEvent, EventSplitter } from "../event-stream.ts";
import { prepareBody } from "./request-body.ts";
import { findUsage, joinUsage } from "./usage.ts";

describe("an event stream", () => {
  it("comes out as it went in, whole events at a time, however it is cut", () => {
    const event = fc.constantFrom(
      "data: a\n\n",
      "event: x\ndata: {}\n\n",
      ": note\n\n",
      "data: b\r\n\r\n",
      "data: é😀\n\n",
    );
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 12 }),
        fc.array(fc.nat(20), { maxLength: 40 }),
        (events, cuts) => {
          const bytes = encodeUtf8(events.join(""));
          const splitter = new EventSplitter();
          const out: Uint8Array[] = [];
          let at = 0;
          for (const size of [...cuts, bytes.length]) {
            out.push(...splitter.push(bytes.subarray(at, at + size)));
            at = Math.min(bytes.length, at + size);
          }
          expect(out.map(parseUtf8)).toEqual(events);
          expect(splitter.end()).toHaveLength(0);
        },
      ),
    );
  });

  it("keeps what has no end yet, and refuses an event that never ends", () => {
    const splitter = new EventSplitter();
    expect(splitter.push(encodeUtf8("data: half"))).toEqual([]);
    expect(parseUtf8(splitter.end())).toBe("data: half");
    const flood = () => {
      for (let part = 0; part < 6; part += 1) splitter.push(new Uint8Array(1_000_000).fill(0x61));
    };
    expect(flood).toThrow(expect.objectContaining({ code: "upstream_answer_refused" }));
  });

  it("has its data read across lines", () => {
    expect(dataOfEvent(encodeUtf8("event: x\ndata: {\ndata: }\n\n"))).toBe("{\n}");
    expect(dataOfEvent(encodeUtf8(": only a note\n\n"))).toBeUndefined();
  });
});

describe("usage", () => {
  it("is read in every vendor's spelling", () => {
    const openai = {
      usage: { prompt_tokens: 10, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } },
    };
    expect(findUsage(openai)).toEqual({ input: 6, cachedInput: 4, cacheWrite: 0, output: 3 });
    const response = { response: { usage: { input_tokens: 7, output_tokens: 2 } } };
    expect(findUsage(response)).toEqual({ input: 7, cachedInput: 0, cacheWrite: 0, output: 2 });
    const anthropic = {
      message: {
        usage: {
          input_tokens: 5,
          cache_read_input_tokens: 8,
          cache_creation_input_tokens: 9,
          output_tokens: 1,
        },
      },
    };
    const start = findUsage(anthropic);
    expect(start).toEqual({ input: 5, cachedInput: 8, cacheWrite: 9, output: 1 });
    const end = findUsage({ type: "message_delta", usage: { output_tokens: 40 } });
    expect(end && joinUsage(start, end)).toEqual({ input: 5, cachedInput: 8, cacheWrite: 9, output: 40 });
  });

  it("is none where there is none, and never a number that makes no sense", () => {
    for (const value of [null, [], "x", {}, { usage: null }, { usage: 3 }])
      expect(findUsage(value)).toBeUndefined();
    expect(findUsage({ usage: { prompt_tokens: -5, completion_tokens: 1e300 } })).toMatchObject({
      input: 0,
      output: 0,
    });
  });
});

describe("the body that goes out", () => {
  const settings = parseLlmSettings({});
  const sent = (rest: string, text: string) => {
    const body = encodeUtf8(text);
    const call = parseLlmCall("openai", { upstream: "x", method: "POST", rest, body });
    const { bytes, stripsUsage } = prepareBody(call, body, settings);
    return { text: parseUtf8(bytes ?? concatBytes()), stripsUsage };
  };

  it("is the caller's own text, with a member at its end where one is needed", () => {
    const text = '{ "model": "m",  "messages": [ ] }\n';
    expect(sent("v1/chat/completions", text)).toEqual({ text, stripsUsage: false });
    const stream = '{"model":"m","seed":12345678901234567890,"stream":true}';
    expect(sent("v1/chat/completions", stream)).toEqual({
      text: '{"model":"m","seed":12345678901234567890,"stream":true,"stream_options":{"include_usage":true}}',
      stripsUsage: true,
    });
    const asked = '{"model":"m","stream":true,"stream_options":{"include_usage":true}}';
    expect(sent("v1/chat/completions", asked)).toEqual({ text: asked, stripsUsage: false });
    expect(sent("v1/responses", '{"model":"m"}').text).toBe('{"model":"m","store":false}');
    expect(sent("v1/responses", '{"model":"m","store":false}').text).toBe('{"model":"m","store":false}');
  });
});
