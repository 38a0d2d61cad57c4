/** Echoes are found in every form, wherever a stream is cut; judged by a slow reader that sees the whole at once. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Automaton } from "./automaton.ts";
import { formsOf } from "./forms.ts";
import { createRedactor } from "./redactor.ts";

const SECRET = 'sk-Ab/9+"q%41\\z~0';

const redactorOf = (secret: string) => createRedactor(new Automaton(formsOf(secret, 0)));

function mask(secret: string, text: string, cuts: readonly number[] = []): { text: string; echoes: number } {
  const redactor = redactorOf(secret);
  const bytes = Buffer.from(text, "latin1");
  const parts: Uint8Array[] = [];
  let from = 0;
  for (const cut of [...cuts].sort((left, right) => left - right)) {
    const to = Math.min(Math.max(cut, from), bytes.length);
    parts.push(redactor.push(bytes.subarray(from, to)));
    from = to;
  }
  parts.push(redactor.push(bytes.subarray(from)), redactor.end());
  return { text: Buffer.concat(parts).toString("latin1"), echoes: redactor.echoes };
}

const percentAll = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
const unicodeAll = (text: string) =>
  [...text].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`).join("");
const htmlAll = (text: string) => [...text].map((char) => `&#${char.charCodeAt(0)};`).join("");

/** Ways in which upstreams have been seen to give a credential back. */
const FORMS: Readonly<Record<string, (secret: string) => string>> = {
  raw: (secret) => secret,
  "percent-encoded": encodeURIComponent,
  "percent-encoded, every byte": percentAll,
  "percent-encoded twice": (secret) => encodeURIComponent(encodeURIComponent(secret)),
  "escaped for JSON": (secret) => JSON.stringify(secret).slice(1, -1),
  "escaped for JSON, slashes too": (secret) => JSON.stringify(secret).slice(1, -1).replaceAll("/", "\\/"),
  "escaped for JSON in JSON": (secret) => JSON.stringify(JSON.stringify(secret)).slice(1, -1),
  "escaped for JSON, every character": unicodeAll,
  "a URL in JSON": (secret) => JSON.stringify(encodeURIComponent(secret)).slice(1, -1),
  "escaped for HTML": (secret) => secret.replaceAll("&", "&amp;").replaceAll('"', "&quot;"),
  "escaped for HTML, every character": htmlAll,
  hex: (secret) => Buffer.from(secret).toString("hex"),
  "hex, upper case": (secret) => Buffer.from(secret).toString("hex").toUpperCase(),
  base64: (secret) => Buffer.from(secret).toString("base64"),
  "base64, behind one byte": (secret) => Buffer.from(`a${secret}`).toString("base64"),
  "base64, behind two bytes": (secret) => Buffer.from(`ab${secret}xyz`).toString("base64"),
  "base64url, behind two bytes": (secret) => Buffer.from(`ab${secret}`).toString("base64url"),
  "base64, percent-encoded": (secret) => encodeURIComponent(Buffer.from(`a${secret}`).toString("base64")),
  "base64 in lines": (secret) =>
    Buffer.from(`user:${secret}`).toString("base64").replaceAll(/.{7}/g, "$&\r\n"),
  "base64 in lines in JSON": (secret) =>
    JSON.stringify(Buffer.from(`user:${secret}`).toString("base64").replaceAll(/.{9}/g, "$&\n")).slice(1, -1),
};

/** A match of what is left of a form: base64 keeps up to two characters on each side that belong to neighbours. */
const isMostlyMasked = (text: string) => /^[^*]{0,10}\*{8,}[^*]{0,12}$/.test(text);

describe("an echo", () => {
  it.each(Object.keys(FORMS))("is masked: %s", (name) => {
    const form = FORMS[name]?.(SECRET) ?? "";
    const { text, echoes } = mask(SECRET, `before ${form} after`);
    expect(text).toHaveLength(`before ${form} after`.length);
    expect(text.startsWith("before ")).toBe(true);
    expect(text.endsWith(" after")).toBe(true);
    expect(isMostlyMasked(text.slice(7, -6))).toBe(true);
    expect(echoes).toBe(1);
  });

  it.each(Object.keys(FORMS))("is masked wherever the stream is cut: %s", (name) => {
    const whole = `{"echo":"${FORMS[name]?.(SECRET) ?? ""}"}`;
    const expected = mask(SECRET, whole).text;
    for (let cut = 0; cut <= whole.length; cut += 1) expect(mask(SECRET, whole, [cut]).text).toBe(expected);
    const everywhere = Array.from(whole, (_, index) => index);
    expect(mask(SECRET, whole, everywhere).text).toBe(expected);
  });

  it("is not seen where one character is another", () => {
    const { text, echoes } = mask(SECRET, `x ${SECRET.slice(0, -1)}1 y`);
    expect({ text, echoes }).toEqual({ text: `x ${SECRET.slice(0, -1)}1 y`, echoes: 0 });
  });

  it("is counted as often as it is there", () => {
    expect(mask(SECRET, `${SECRET}${SECRET} ${FORMS.hex?.(SECRET)}`).echoes).toBe(3);
  });

  it("is masked in headers, in every value of a list, and in texts", () => {
    const redactor = redactorOf(SECRET);
    const headers = redactor.headers({
      location: `https://a.test/?k=${encodeURIComponent(SECRET)}`,
      "set-cookie": ["a=b", `k=${SECRET}`],
      etag: undefined,
    });
    expect(headers.location).toMatch(/^https:\/\/a\.test\/\?k=\*+$/);
    expect(headers["set-cookie"]).toEqual(["a=b", `k=${"*".repeat(SECRET.length)}`]);
    expect(redactor.text(`no such key ${SECRET}`)).toBe(`no such key ${"*".repeat(SECRET.length)}`);
    expect(redactor.echoes).toBe(3);
  });

  it("could hide in a compressed body, which is refused", () => {
    const headers = (coding: string) => () => redactorOf(SECRET).headers({ "content-encoding": coding });
    expect(headers("gzip")).toThrowError(expect.objectContaining({ code: "upstream_answer_refused" }));
    expect(headers("identity")).not.toThrow();
  });
});

describe("a stream without an echo", () => {
  it("goes on at once, without a copy, byte for byte", () => {
    const redactor = redactorOf(SECRET);
    const chunk = encodeUtf8('data: {"delta":"hello\\nworld"}\n\n');
    expect(redactor.push(chunk)).toBe(chunk);
    expect(redactor.end()).toHaveLength(0);
  });

  it("waits only for what may be the beginning of the secret", () => {
    const redactor = redactorOf(SECRET);
    expect(Buffer.from(redactor.push(encodeUtf8("ask-Ab"))).toString()).toBe("a");
    expect(Buffer.from(redactor.push(encodeUtf8("out"))).toString()).toBe("sk-About");
  });

  it("keeps what looks like an unfinished escape at its end", () => {
    for (const text of ["100%", "a\\", "a\\u00", "fish &amp", "%4", "\\x4"])
      expect(mask(SECRET, text).text).toBe(text);
  });
});

/** A few characters only, so that beginnings, repetitions and escapes of the secret are everywhere. */
const tangled = fc.string({
  unit: fc.constantFrom("a", "b", "%", "6", "1", "2", "\\", "u", "0", "&", "#", ";", "\n"),
  maxLength: 60,
});
const small = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 8, maxLength: 9 });

type Decoded = readonly { readonly char: string; readonly start: number; readonly end: number }[];

const placed = (text: string): Decoded =>
  [...text].map((char, index) => ({ char, start: index, end: index + 1 }));

/** Undoes one kind of escape in a whole text, by a regular expression. */
function undo(input: Decoded, kind: RegExp, meaning: (match: string) => string): Decoded {
  const text = input.map(({ char }) => char).join("");
  const out: { char: string; start: number; end: number }[] = [];
  for (let at = 0; at < text.length; ) {
    const match = new RegExp(kind.source, "y").exec(text.slice(at))?.[0];
    const length = match?.length ?? 1;
    const char = match === undefined ? (text[at] ?? "") : meaning(match);
    const [first, last] = [input[at], input[at + length - 1]];
    if (char !== "" && first && last) out.push({ char, start: first.start, end: last.end });
    at += length;
  }
  return out;
}

const code = (digits: string) => {
  const value = Number.parseInt(digits, 16);
  return value < 128 ? String.fromCharCode(value) : "\u00ff";
};
const unPercent = (input: Decoded) => undo(input, /%[0-9A-Fa-f]{2}/, (match) => code(match.slice(1)));
const LETTERS: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const unJson = (input: Decoded) =>
  undo(input, /\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|["'/\\bfnrt])/, (match) =>
    /^\\[ux]/.test(match) ? code(match.slice(2)) : (LETTERS[match[1] ?? ""] ?? match.slice(1)),
  );
const unHtml = (input: Decoded) =>
  undo(input, /&(?:#[0-9]{1,5}|amp|quot);/, (match) =>
    match[1] === "#" ? code(Number(match.slice(2, -1)).toString(16)) : match === "&amp;" ? "&" : '"',
  );
const unLine = (input: Decoded) => undo(input, /[\r\n]/, () => "");

/** What a reader without any hurry finds. */
function maskSlowly(secret: string, text: string): string {
  const whole = placed(text);
  const readings = [
    whole,
    unPercent(whole),
    unJson(whole),
    unHtml(whole),
    unLine(whole),
    unJson(unJson(whole)),
    unPercent(unJson(whole)),
    unLine(unJson(whole)),
    unPercent(unPercent(whole)),
  ];
  const masked = [...text];
  for (const reading of readings) {
    const decoded = reading.map(({ char }) => char).join("");
    for (const { bytes } of formsOf(secret, 0)) {
      const form = Buffer.from(bytes).toString("latin1");
      for (let at = decoded.indexOf(form); at !== -1; at = decoded.indexOf(form, at + 1)) {
        masked.fill("*", reading[at]?.start, reading[at + form.length - 1]?.end);
      }
    }
  }
  return masked.join("");
}

describe("masking", () => {
  it("agrees with a reader that sees the whole at once, however the stream is cut", () => {
    const pieces = fc.array(
      fc.oneof(
        { weight: 3, arbitrary: tangled.map((text) => () => text) },
        { weight: 2, arbitrary: fc.constantFrom(...Object.values(FORMS)) },
        { weight: 1, arbitrary: fc.constant((secret: string) => secret.slice(0, 6)) },
      ),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(
        fc.oneof(small, fc.constant(SECRET)),
        pieces,
        fc.array(fc.nat(200), { maxLength: 8 }),
        (secret, parts, cuts) => {
          const text = parts.map((part) => part(secret)).join("");
          expect(mask(secret, text, cuts).text).toBe(maskSlowly(secret, text));
        },
      ),
      { numRuns: 3000 },
    );
  });
});
