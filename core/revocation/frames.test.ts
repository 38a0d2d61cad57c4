import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBase64url } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import {
  EVERYTHING,
  encodeBeat,
  encodeServerFrame,
  MAX_BEHIND,
  parseBeat,
  parseServerFrame,
  type ServerFrame,
} from "./frames.ts";

const NONCE = encodeBase64url(new Uint8Array(16).fill(7));
const count = fc.nat(Number.MAX_SAFE_INTEGER);
const nonce = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(encodeBase64url);
const target = fc.record({
  kind: fc.constantFrom("instance", "agent", "owner", "narrowed", "policy"),
  id: fc.string({ minLength: 1, maxLength: 64 }),
});
const serverFrame: fc.Arbitrary<ServerFrame> = fc.oneof(
  fc.record({
    kind: fc.constant("hello" as const),
    epoch: count,
    leaseMs: fc.integer({ min: 1, max: 700 }),
    seq: count,
  }),
  fc.record({ kind: fc.constant("echo" as const), nonce, epoch: count, seq: count }),
  fc.record({
    kind: fc.constant("echo" as const),
    nonce,
    epoch: count,
    seq: count,
    leaseMs: fc.integer({ min: 1, max: 700 }),
  }),
  fc.record({
    kind: fc.constant("push" as const),
    seq: count,
    epoch: count,
    targets: fc.array(target, { minLength: 1, maxLength: 20 }),
  }),
);

const some = fc.nat(MAX_BEHIND);
const behind = fc.record({ leases: some, left: some, acked: some, expired: some });
const beat = fc.oneof(fc.record({ nonce, ack: count }), fc.record({ nonce, ack: count, behind }));

function lineOf(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  expect(text.endsWith("\n")).toBe(true);
  return text.slice(0, -1);
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof TrustWardenError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("frames", () => {
  test("every server frame survives its line", () => {
    fc.assert(
      fc.property(serverFrame, (frame) => {
        expect(parseServerFrame(lineOf(encodeServerFrame(frame)))).toEqual(frame);
      }),
    );
  });

  test("every beat survives its line", () => {
    fc.assert(
      fc.property(beat, (given) => {
        expect(parseBeat(lineOf(encodeBeat(given)))).toEqual(given);
      }),
    );
  });

  test("what is read at one look means the same as what is read the long way, and is refused with the same code", () => {
    const lines = fc.oneof(beat.map(encodeBeat), serverFrame.map(encodeServerFrame)).map(lineOf);
    const edit = fc.record({
      at: fc.nat(120),
      cut: fc.nat(3),
      put: fc.constantFrom("", "0", "9", "-", "A", "=", '"', ","),
    });
    const outcome = (parse: (line: string) => unknown, line: string) => {
      let value: unknown;
      const code = codeOf(() => {
        value = parse(line);
      });
      return { value, code };
    };
    fc.assert(
      fc.property(lines, edit, (line, { at, cut, put }) => {
        const edited = line.slice(0, at) + put + line.slice(at + cut);
        for (const parse of [parseBeat, parseServerFrame])
          expect(outcome(parse, edited)).toEqual(outcome(parse, ` ${edited}`));
      }),
      { numRuns: 500 },
    );
  });

  test("no text makes a parser fail with anything but a code", () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      serverFrame.map((frame) => lineOf(encodeServerFrame(frame)).slice(1)),
    );
    fc.assert(
      fc.property(text, (line) => {
        codeOf(() => parseBeat(line));
        codeOf(() => parseServerFrame(line));
      }),
    );
  });

  test.each([
    ["an unknown member", `{"nonce":"${NONCE}","ack":1,"x":1}`, "request_malformed"],
    ["a missing member", `{"nonce":"${NONCE}"}`, "request_malformed"],
    ["a duplicate key", `{"nonce":"${NONCE}","ack":1,"ack":2}`, "json_duplicate_key"],
    [
      "a nonce of 15 bytes",
      `{"nonce":"${encodeBase64url(new Uint8Array(15))}","ack":1}`,
      "request_malformed",
    ],
    ["a padded nonce", `{"nonce":"${NONCE}==","ack":1}`, "base64_malformed"],
    ["a negative epoch", `{"nonce":"${NONCE}","ack":-1}`, "request_malformed"],
    ["a fraction", `{"nonce":"${NONCE}","ack":1.5}`, "request_malformed"],
    ["an epoch beyond exact numbers", `{"nonce":"${NONCE}","ack":9007199254740992}`, "request_malformed"],
    [
      "a relay's word that lacks a number",
      `{"nonce":"${NONCE}","ack":1,"behind":{"left":1}}`,
      "request_malformed",
    ],
    [
      "a relay that has more behind it than anybody",
      `{"nonce":"${NONCE}","ack":1,"behind":{"leases":1,"left":0,"acked":0,"expired":${MAX_BEHIND + 1}}}`,
      "request_malformed",
    ],
    ["a list", "[]", "json_malformed"],
    ["an empty line", "", "json_malformed"],
    ["a line of 257 characters", " ".repeat(257), "request_too_large"],
  ])("a beat with %s is refused", (_name, line, code) => {
    expect(codeOf(() => parseBeat(line))).toBe(code);
  });

  test.each([
    ["a lease longer than 700 ms", '{"hello":{"epoch":1,"lease_ms":701,"seq":0}}', "request_malformed"],
    ["a lease of 0 ms", '{"hello":{"epoch":1,"lease_ms":0,"seq":0}}', "request_malformed"],
    [
      "an echo that gives more than a lease",
      `{"echo":"${NONCE}","epoch":1,"seq":0,"lease_ms":701}`,
      "request_malformed",
    ],
    ["an echo that gives nothing", `{"echo":"${NONCE}","epoch":1,"seq":0,"lease_ms":0}`, "request_malformed"],
    ["a hello that is no object", '{"hello":1}', "request_malformed"],
    [
      "a hello with an epoch beside it",
      '{"hello":{"epoch":1,"lease_ms":700,"seq":0},"epoch":2}',
      "request_malformed",
    ],
    ["an unknown kind", '{"seq":1,"epoch":1,"targets":[{"kind":"job","id":"a"}]}', "request_malformed"],
    ["no targets", '{"seq":1,"epoch":1,"targets":[]}', "request_malformed"],
    ["an empty id", '{"seq":1,"epoch":1,"targets":[{"kind":"agent","id":""}]}', "request_malformed"],
    [
      "an id of 2,049 characters",
      `{"seq":1,"epoch":1,"targets":[{"kind":"agent","id":"${"a".repeat(2049)}"}]}`,
      "request_malformed",
    ],
    [
      "257 targets",
      JSON.stringify({ seq: 1, epoch: 1, targets: Array(257).fill({ kind: "agent", id: "a" }) }),
      "request_malformed",
    ],
    ["a line over 64 KiB", " ".repeat(65_537), "request_too_large"],
  ])("a server frame with %s is refused", (_name, line, code) => {
    expect(codeOf(() => parseServerFrame(line))).toBe(code);
  });

  test("the limits themselves are accepted", () => {
    expect(codeOf(() => parseServerFrame('{"hello":{"epoch":0,"lease_ms":700,"seq":0}}'))).toBe("accepted");
    const targets = Array(256).fill({ kind: "agent", id: "a" });
    expect(codeOf(() => parseServerFrame(JSON.stringify({ seq: 1, epoch: 1, targets })))).toBe("accepted");
    const long = [{ kind: "agent", id: "a".repeat(2048) }];
    expect(codeOf(() => parseServerFrame(JSON.stringify({ seq: 1, epoch: 1, targets: long })))).toBe(
      "accepted",
    );
  });

  test.each([
    ["too many targets", Array(257).fill({ kind: "agent", id: "a" })],
    ["too many bytes", Array(100).fill({ kind: "agent", id: "a".repeat(2048) })],
    ["no target", []],
    ["an id that no reader accepts", [{ kind: "agent", id: "a".repeat(2049) }]],
  ])("a push with %s says everything", (_name, targets) => {
    const frame = parseServerFrame(lineOf(encodeServerFrame({ kind: "push", seq: 1, epoch: 2, targets })));
    expect(frame).toEqual({ kind: "push", seq: 1, epoch: 2, targets: [EVERYTHING] });
  });
});
