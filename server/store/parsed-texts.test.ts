import { expect, test } from "vitest";
import { rememberParsed } from "./parsed-texts.ts";

function counting() {
  const asked: string[] = [];
  const parse = rememberParsed((text) => {
    asked.push(text);
    if (text === "bad") throw new Error("refused");
    return { text };
  }, 2);
  return { asked, parse };
}

test("a text is parsed once and gives the same value again", () => {
  const { asked, parse } = counting();
  expect(parse("a")).toBe(parse("a"));
  expect(parse("b")).toEqual({ text: "b" });
  expect(asked).toEqual(["a", "b"]);
});

test("what is refused is refused each time", () => {
  const { asked, parse } = counting();
  expect(() => parse("bad")).toThrow("refused");
  expect(() => parse("bad")).toThrow("refused");
  expect(asked).toEqual(["bad", "bad"]);
});

test("no more texts are kept than were said, and forgotten ones are parsed again", () => {
  const { asked, parse } = counting();
  for (const text of ["a", "b", "c", "c", "a"]) expect(parse(text)).toEqual({ text });
  expect(asked).toEqual(["a", "b", "c", "a"]);
});
