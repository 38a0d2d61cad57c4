import canonicalize from "canonicalize";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "./error.ts";
import { formatCanonicalJson, type Json, parseCanonicalObject, parseJson, parseJsonObject } from "./json.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("JSON at the edge", () => {
  it.each([
    ['{"a":1,"a":2}', "json_duplicate_key"],
    ['{"a":1,"\\u0061":2}', "json_duplicate_key"],
    ['{"x":{"b":1,"b" :2}}', "json_duplicate_key"],
    ['{"__proto__":1,"__proto__":2}', "json_duplicate_key"],
    ["{", "json_malformed"],
    ['"open', "json_malformed"],
    ["[1,]", "json_malformed"],
    ["", "json_malformed"],
    ['{"a\\x":1}', "json_malformed"],
    ["1e309", "json_malformed"],
    ['{"a":[-1e400]}', "json_malformed"],
    ['{"a":"\\ud800"}', "json_malformed"],
    ['{"\\udc00":1}', "json_malformed"],
  ])("refuses %s", (text, code) => {
    expect(codeOf(() => parseJson(text))).toBe(code);
  });

  it("accepts the largest number, and a pair of surrogates", () => {
    expect(parseJson('[1.7976931348623157e308,"\\ud83d\\ude00"]')).toEqual([Number.MAX_VALUE, "\u{1f600}"]);
  });

  it("accepts equal keys in different objects and equal strings in arrays", () => {
    expect(parseJson('{"a":{"a":["a","a"]},"b":{"a":1}}')).toEqual({ a: { a: ["a", "a"] }, b: { a: 1 } });
  });

  it("accepts 32 levels and refuses 33", () => {
    expect(codeOf(() => parseJson("[".repeat(32) + "]".repeat(32)))).toBe("accepted");
    expect(codeOf(() => parseJson("[".repeat(33) + "]".repeat(33)))).toBe("json_too_deep");
  });

  it("accepts a text of exactly the limit and refuses one more character", () => {
    expect(codeOf(() => parseJson("[1]", 3))).toBe("accepted");
    expect(codeOf(() => parseJson("[1]", 2))).toBe("request_too_large");
  });

  it("takes only objects where an object is expected", () => {
    expect(codeOf(() => parseJsonObject("[]"))).toBe("json_malformed");
    expect(codeOf(() => parseJsonObject("null"))).toBe("json_malformed");
  });

  it("never throws anything but its own error, whatever the text", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.json(), fc.string({ unit: fc.constantFrom(...'{}[]",:\\ua1 ') })),
        (text) => {
          expect(typeof codeOf(() => parseJson(text))).toBe("string");
        },
      ),
    );
  });

  it("reads back what it writes canonically, and agrees with JSON.parse on every document without duplicates", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        // The cast names what fast-check generates: JSON values.
        const text = formatCanonicalJson(value as Json);
        expect(formatCanonicalJson(parseJson(text))).toBe(text);
        expect(JSON.stringify(parseJson(JSON.stringify(value)))).toBe(
          JSON.stringify(JSON.parse(JSON.stringify(value))),
        );
      }),
    );
  });

  it("writes members that are in order already as it writes all others", () => {
    // Keys that an engine enumerates as numbers, and those whose order differs by code unit and by code point.
    const key = fc.constantFrom("1", "9", "10", "a", "B", "\u20ac", "\ufb33", "\u{1f600}", "__proto__", "");
    const value = fc.letrec<{ readonly any: unknown }>((tie) => ({
      any: fc.oneof(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.string(),
        fc.boolean(),
        tie("object"),
      ),
      object: fc.dictionary(key, tie("any"), { maxKeys: 4 }),
    })).any;
    fc.assert(
      fc.property(value, (generated) => {
        const text = JSON.stringify(generated);
        // The cast names what comes of a JSON text.
        const parsed = JSON.parse(text) as Json;
        expect(formatCanonicalJson(parsed)).toBe(canonicalize(parsed));
        expect(formatCanonicalJson(JSON.parse(formatCanonicalJson(parsed)) as Json)).toBe(
          canonicalize(parsed),
        );
      }),
    );
    for (const bad of ["\ud800", Number.POSITIVE_INFINITY, { "\udc00": 1 }, ["\ud800"]]) {
      expect(() => formatCanonicalJson(bad)).toThrow();
    }
  });

  it("finds the end of a text and equal keys behind any run of backslashes", () => {
    const part = fc.constantFrom("\\", '"', "a", ":", ",");
    fc.assert(
      fc.property(fc.array(part), fc.array(part), (left, right) => {
        const [one, two] = [left.join(""), right.join("")];
        const text = `{${JSON.stringify(one)}:1,${JSON.stringify(two)}:{${JSON.stringify(one)}:2}}`;
        expect(codeOf(() => parseJson(text))).toBe(one === two ? "json_duplicate_key" : "accepted");
      }),
    );
  });

  it("36 follows the RFC 8785 examples for numbers and for UTF-16 key order", () => {
    expect(
      formatCanonicalJson({
        numbers: JSON.parse("[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001]"),
      }),
    ).toBe('{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}');
    const keys = JSON.parse(
      '{"\\u20ac":1,"\\r":2,"\\ufb33":3,"1":4,"\\ud83d\\ude00":5,"\\u0080":6,"\\u00f6":7}',
    );
    expect([...formatCanonicalJson(keys).matchAll(/:(\d)/g)].map(([, value]) => Number(value))).toEqual([
      2, 4, 6, 7, 1, 5, 3,
    ]);
  });
});

describe("a canonical object", () => {
  /** By the slow way alone: every character looked at, then written again. */
  function readSlowly(text: string): unknown {
    const value = parseJsonObject(text, 4096);
    return formatCanonicalJson(value) === text ? value : null;
  }
  const outcomeOf = (run: () => unknown): unknown => {
    try {
      return run();
    } catch (error) {
      if (error instanceof TrustWardenError) return error.code;
      throw error;
    }
  };
  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

  it.each([
    ['{"a":1,"b":[{"c":"\u20ac"}]}', "as it is"],
    ['{"10":1,"9":2}', "as it is"],
    ['{"9":2,"10":1}', null],
    ['{"b":1,"a":2}', null],
    ['{"a": 1}', null],
    ['{"a":1.0}', null],
    ['{"a":-0}', null],
    ['{"a":"\\u0062"}', null],
    ['{"a":1,"a":1}', "json_duplicate_key"],
    ['{"a":"\\ud800"}', "json_malformed"],
    ["[1]", "json_malformed"],
    ["", "json_malformed"],
    [`{"a":"${"a".repeat(4096)}"}`, "request_too_large"],
    [deep(32), "as it is"],
    [deep(33), "json_too_deep"],
  ])("is read from %s: %s", (text, expected) => {
    const found = outcomeOf(() => parseCanonicalObject(text, 4096));
    expect(found).toEqual(expected === "as it is" ? JSON.parse(text) : expected);
  });

  it("is read from any text as the slow way reads it", () => {
    const part = fc.constantFrom(
      "{",
      "}",
      '"a"',
      '"b"',
      '"\\u0061"',
      ":",
      ",",
      "1",
      "[",
      "]",
      " ",
      '"9"',
      '"10"',
      "1e2",
    );
    const written = fc
      .dictionary(fc.string({ maxLength: 3 }), fc.jsonValue())
      .map((value) => JSON.stringify(value));
    const texts = fc.oneof(
      fc.array(part, { maxLength: 12 }).map((parts) => parts.join("")),
      written,
      written.map((text) => formatCanonicalJson(JSON.parse(text))),
    );
    fc.assert(
      fc.property(texts, (text) => {
        expect(outcomeOf(() => parseCanonicalObject(text, 4096))).toEqual(outcomeOf(() => readSlowly(text)));
      }),
      { numRuns: 300 },
    );
  });
});
