/** Strict JSON in, canonical JSON (RFC 8785) out. */
import { casesOf, type VectorCase } from "../vector-case.ts";

const { good, bad } = casesOf("canonical_json");

/** Numbers whose text RFC 8785 takes from ECMAScript; the left side is read as a double first. */
const NUMBERS: readonly (readonly [string, string])[] = [
  ["0", "0"],
  ["-0", "0"],
  ["0.0", "0"],
  ["1.0", "1"],
  ["-1", "-1"],
  ["10e-1", "1"],
  ["9007199254740991", "9007199254740991"],
  ["9007199254740993", "9007199254740992"],
  ["123456789012345680000", "123456789012345680000"],
  ["1e20", "100000000000000000000"],
  ["1e21", "1e+21"],
  ["1e23", "1e+23"],
  ["0.000001", "0.000001"],
  ["0.0000001", "1e-7"],
  ["1.5e-10", "1.5e-10"],
  ["5e-324", "5e-324"],
  ["2e-324", "0"],
  ["1.7976931348623157e308", "1.7976931348623157e+308"],
  ["333333333.33333329", "333333333.3333333"],
  ["4.50", "4.5"],
  ["2e-3", "0.002"],
  ["0.000000000000000000000000001", "1e-27"],
];

/** @returns the cases. */
export function makeCanonicalJson(): readonly VectorCase[] {
  return [...goodDocuments(), ...badDocuments()];
}

function goodDocuments(): readonly VectorCase[] {
  return [
    ...NUMBERS.map(([text, out]) => good(`the number ${text}`, { text: `[${text}]` }, `[${out}]`)),
    good("members are sorted", { text: '{"b":1,"a":2,"aa":3,"":4}' }, '{"":4,"a":2,"aa":3,"b":1}'),
    good("members that look like numbers are sorted as text", { text: '{"10":1,"9":2}' }, '{"10":1,"9":2}'),
    good(
      "members are sorted by UTF-16 code units, not by code points",
      { text: '{"\ufb33":1,"\u{1f600}":2,"\u20ac":3}' },
      '{"\u20ac":3,"\u{1f600}":2,"\ufb33":1}',
    ),
    good("__proto__ is a member like any other", { text: '{"__proto__":{"a":1}}' }, '{"__proto__":{"a":1}}'),
    good("white space goes", { text: ' {\n"a" :\t[ 1 , 2 ]\r} ' }, '{"a":[1,2]}'),
    good("escapes become what they mean", { text: '["\\u0041\\/\\u20ac"]' }, '["A/\u20ac"]'),
    good(
      "controls are escaped in the one way",
      { text: '["\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\"]' },
      '["\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\"]',
    ),
    good("line separators and delete stay", { text: '["\u2028\u2029\x7f"]' }, '["\u2028\u2029\x7f"]'),
    good("a pair of escaped surrogates is one character", { text: '["\\ud83d\\ude00"]' }, '["\u{1f600}"]'),
    good("no form is normalised", { text: '["e\u0301","\u00e9"]' }, '["e\u0301","\u00e9"]'),
    good("equal keys in two objects", { text: '[{"a":1},{"a":2}]' }, '[{"a":1},{"a":2}]'),
    good("a colon in a string opens no member", { text: '{"a":"b\\":","c":[]}' }, '{"a":"b\\":","c":[]}'),
    good("depth 32", { text: `${"[".repeat(32)}${"]".repeat(32)}` }, `${"[".repeat(32)}${"]".repeat(32)}`),
  ];
}

function badDocuments(): readonly VectorCase[] {
  const malformed: readonly (readonly [string, string])[] = [
    ["nothing", ""],
    ["a cut-off object", '{"a":1'],
    ["a comma too many", "[1,]"],
    ["a comment", "[1]//"],
    ["two documents", "[1] [2]"],
    ["single quotes", "['a']"],
    ["a bare word", "[undefined]"],
    ["NaN", "[NaN]"],
    ["Infinity", "[-Infinity]"],
    ["a number above every double", "[1e400]"],
    ["a number with a plus", "[+1]"],
    ["a number with leading zeros", "[01]"],
    ["a number without digits behind its point", "[1.]"],
    ["a hexadecimal number", "[0x10]"],
    ["a raw control in a string", '["\n"]'],
    ["an unknown escape", '["\\x41"]'],
    ["a string without an end", '["a'],
    ["half a surrogate pair", '["\\ud83d"]'],
    ["the other half", '["\\ude00"]'],
    ["a byte order mark", "\ufeff[]"],
    ["digits of another script", "[\u0661]"],
    ["a no-break space", "[\u00a01]"],
  ];
  return [
    ...malformed.map(([name, text]) => bad(name, { text }, "json_malformed")),
    bad("two equal members", { text: '{"a":1,"b":2,"a":1}' }, "json_duplicate_key"),
    bad("two members that are equal once unescaped", { text: '{"a":1,"\\u0061":2}' }, "json_duplicate_key"),
    bad("two equal members far inside", { text: '[{"x":[{"k":1,"k":2}]}]' }, "json_duplicate_key"),
    bad("two empty names", { text: '{"":1,"":2}' }, "json_duplicate_key"),
    bad("depth 33", { text: `${"[".repeat(33)}${"]".repeat(33)}` }, "json_too_deep"),
    bad("depth without an end", { text: '{"a":'.repeat(5000) }, "json_too_deep"),
  ];
}
