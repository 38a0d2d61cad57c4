import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TrustWardenError } from "../error.ts";
import { createTestLogSigner } from "./ledger.test.support.ts";
import { ALGORITHM_COSIGNATURE, formatVkey, rawEd25519Key } from "./signed-note.ts";
import { isQuorum, parseTlogPolicy } from "./tlog-policy.ts";

const rawOf = (seed: number) => rawEd25519Key(createTestLogSigner(seed).publicKey);
const log = formatVkey("ledger.acme.test", rawOf(1));
const keys = [11, 12, 13, 14, 15, 16].map((seed) =>
  formatVkey(`w${seed}.test/w`, rawOf(seed), ALGORITHM_COSIGNATURE),
);
const malformed = expect.objectContaining({ code: "witness_policy_malformed" });

/** The example of the specification: two of three of one organization, and any of another. */
const EXAMPLE = `# two organizations
log ${log} https://ledger.acme.test/ledger/
witness X1 ${keys[0]} https://x1.test/w/
witness X2 ${keys[1]}
witness X3 ${keys[2]}
group X-witnesses 2 X1 X2 X3

  witness Y1\t${keys[3]}
witness Y2 ${keys[4]}
witness Y3 ${keys[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
`;

describe("a policy of log and witnesses", () => {
  it("is read as the specification writes it, with groups of groups", () => {
    const policy = parseTlogPolicy(EXAMPLE);
    expect(policy.logs).toMatchObject([{ vkey: log, url: "https://ledger.acme.test/ledger" }]);
    expect(policy.witnesses.map(({ name, url }) => [name, url])).toEqual([
      ["X1", "https://x1.test/w"],
      ["X2", null],
      ["X3", null],
      ["Y1", null],
      ["Y2", null],
      ["Y3", null],
    ]);
    const enough = (...names: string[]) => isQuorum(policy, new Set(names));
    expect(enough("X1", "X3", "Y2")).toBe(true);
    expect(enough("X1", "X2", "X3")).toBe(false);
    expect(enough("X1", "Y1", "Y2", "Y3")).toBe(false);
    expect(enough()).toBe(false);
  });

  it("counts k of n, one witness, and none at all", () => {
    const two = parseTlogPolicy(
      `witness a ${keys[0]}\nwitness b ${keys[1]}\nwitness c ${keys[2]}\ngroup g 2 a b c\nquorum g\n`,
    );
    expect(isQuorum(two, new Set(["a"]))).toBe(false);
    expect(isQuorum(two, new Set(["a", "c"]))).toBe(true);
    const one = parseTlogPolicy(`witness a ${keys[0]}\nquorum a\n`);
    expect(isQuorum(one, new Set())).toBe(false);
    expect(isQuorum(one, new Set(["a"]))).toBe(true);
    expect(isQuorum(parseTlogPolicy("quorum none\n"), new Set())).toBe(true);
  });

  it.each([
    ["no quorum", `witness a ${keys[0]}\n`],
    ["two quorums", "quorum none\nquorum none\n"],
    ["a quorum that is not defined", "quorum a\n"],
    ["a member that stands later", `group g any a\nwitness a ${keys[0]}\nquorum g\n`],
    ["a threshold beyond its members", `witness a ${keys[0]}\ngroup g 2 a\nquorum g\n`],
    ["a threshold of zero", `witness a ${keys[0]}\ngroup g 0 a\nquorum g\n`],
    ["a leading zero", `witness a ${keys[0]}\ngroup g 01 a\nquorum g\n`],
    ["a group without members", "group g any\nquorum none\n"],
    ["a member twice", `witness a ${keys[0]}\ngroup g 2 a a\nquorum g\n`],
    ["a member of two groups", `witness a ${keys[0]}\ngroup g any a\ngroup h any a\nquorum g\n`],
    ["none as a name", `witness none ${keys[0]}\nquorum none\n`],
    ["none as a member", "group g any none\nquorum g\n"],
    ["a name twice", `witness a ${keys[0]}\nwitness a ${keys[1]}\nquorum a\n`],
    ["one key under two names", `witness a ${keys[0]}\nwitness b ${keys[0]}\nquorum a\n`],
    [
      "one key under two key names",
      `witness a ${keys[0]}\nwitness b ${formatVkey("other.test", rawOf(11), ALGORITHM_COSIGNATURE)}\nquorum a\n`,
    ],
    ["a log's key as a witness", `witness a ${log}\nquorum a\n`],
    ["a witness's key as a log", `log ${keys[0]}\nquorum none\n`],
    ["a key id that is not the key's", `log ${log.replace(/\+[0-9a-f]{8}\+/, "+00000000+")}\nquorum none\n`],
    ["another keyword", "logs a\nquorum none\n"],
    ["a URL that is none", `log ${log} ledger\nquorum none\n`],
    ["a URL of another scheme", `log ${log} file:///etc/passwd\nquorum none\n`],
    ["a URL with a query", `log ${log} https://a.test/?a=b\nquorum none\n`],
    ["a URL with a password", `log ${log} https://a:b@a.test/\nquorum none\n`],
    ["too many items", "quorum none none\n"],
    ["a control character", "quorum none\r\n"],
    ["too many lines", `${Array.from({ length: 129 }, (_, n) => `group g${n} any g${n - 1}`).join("\n")}\n`],
  ])("is refused with %s", (_what, text) => {
    expect(() => parseTlogPolicy(text)).toThrow(malformed);
  });

  it("never breaks on any text", () => {
    const words = ["log", "witness", "group", "quorum", "none", "any", "all", "2", "a", "b", log, ...keys];
    const line = fc.array(fc.oneof(fc.constantFrom(...words), fc.string()), { maxLength: 5 });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
        try {
          parseTlogPolicy(lines.map((items) => items.join(" ")).join("\n"));
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
  });

  it("never makes a quorum of fewer witnesses where more do not", () => {
    const policy = parseTlogPolicy(EXAMPLE);
    const names = policy.witnesses.map(({ name }) => name);
    fc.assert(
      fc.property(fc.subarray(names), fc.subarray(names), (some, others) => {
        const all = new Set([...some, ...others]);
        if (isQuorum(policy, new Set(some))) expect(isQuorum(policy, all)).toBe(true);
      }),
    );
  });
});
