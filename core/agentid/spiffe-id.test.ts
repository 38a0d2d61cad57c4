import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  classIdOf,
  formatSpiffeId,
  instanceIdOf,
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  trustDomainOf,
} from "./spiffe-id.ts";

const refused = expect.objectContaining({ code: "spiffe_id_malformed" });

function expectRefused(texts: readonly string[]): void {
  expect(texts.length).toBeGreaterThan(0);
  for (const text of texts) expect(() => parseSpiffeId(text), text).toThrow(refused);
}

function expectAccepted(texts: readonly string[]): void {
  expect(texts.length).toBeGreaterThan(0);
  for (const text of texts) expect(parseSpiffeId(text)).toBe(text);
}

describe("parseSpiffeId", () => {
  it("ID-1 refuses any scheme but spiffe", () => {
    expectRefused([
      "http://td/a",
      "spiffe:/td/a",
      "",
      "spiffe:",
      "//td/a",
      "SPIFFE://td/a",
      " spiffe://td/a",
    ]);
    expectAccepted(["spiffe://td/a"]);
  });

  it("ID-2 refuses an empty trust domain", () => {
    expectRefused(["spiffe:///a", "spiffe://"]);
  });

  it("ID-3 refuses query and fragment", () => {
    expectRefused(["spiffe://td/a?x", "spiffe://td/a#f", "spiffe://td?", "spiffe://td#"]);
  });

  it("ID-4 refuses userinfo and ports", () => {
    expectRefused(["spiffe://u@td/a", "spiffe://td:80/a", "spiffe://td:/a", "spiffe://@td/a"]);
  });

  it("ID-5 refuses upper case in the trust domain", () => {
    expectRefused(["spiffe://Td/a", "spiffe://TD"]);
  });

  it("ID-6 refuses characters outside the trust domain's set", () => {
    expectRefused(["spiffe://t$d", "spiffe://tdé", "spiffe://td~", "spiffe://td%41", "spiffe://t d"]);
    expectAccepted(["spiffe://t_d-1.x"]);
  });

  it("ID-7 gives names that look like addresses no special treatment", () => {
    expectAccepted(["spiffe://10.0.0.1/a", "spiffe://a..b/x", "spiffe://-a/x"]);
    expectRefused(["spiffe://[::1]/a"]);
  });

  it("ID-8 accepts a trust domain of 255 bytes and refuses 256", () => {
    expectAccepted([`spiffe://${"a".repeat(255)}/x`]);
    expectRefused([`spiffe://${"a".repeat(256)}/x`]);
  });

  it("ID-9 refuses percent-encoding", () => {
    expectRefused(["spiffe://td/a%2fb", "spiffe://td/%41"]);
  });

  it("ID-10 refuses empty, dot and dot-dot segments", () => {
    expectRefused([
      "spiffe://td//",
      "spiffe://td/a//b",
      "spiffe://td/./a",
      "spiffe://td/a/..",
      "spiffe://td/../a",
    ]);
    expectAccepted(["spiffe://td/...", "spiffe://td/a.b", "spiffe://td/.a"]);
  });

  it("ID-11 refuses a trailing slash", () => {
    expectRefused(["spiffe://td/", "spiffe://td/a/"]);
  });

  it("ID-12 refuses characters outside the path's set", () => {
    expectRefused(
      ["!", " ", ":", "@", "ä", "\u0000", "\n", "\\", "*"].map((char) => `spiffe://td/a${char}b`),
    );
    expectRefused(["spiffe://td/a\n", "spiffe://td\n"]);
  });

  it("ID-13 accepts 2048 bytes and refuses 2049, parsed or generated", () => {
    const prefix = "spiffe://td/";
    expectAccepted([prefix + "a".repeat(2048 - prefix.length)]);
    expectRefused([prefix + "a".repeat(2049 - prefix.length)]);
    const td = parseTrustDomain("td");
    expect(formatSpiffeId(td, ["a".repeat(2048 - prefix.length)])).toHaveLength(2048);
    expect(() => formatSpiffeId(td, ["a".repeat(2049 - prefix.length)])).toThrow(refused);
  });

  it("ID-14 keeps the path's case", () => {
    expect(parseSpiffeId("spiffe://td/A")).not.toBe(parseSpiffeId("spiffe://td/a"));
  });

  it("ID-15 returns its input byte for byte or refuses, whatever the input", () => {
    const near = fc.array(
      fc.constantFrom("spiffe://", "td", "/", ".", "..", "%2e", "A", "a", "?", "#", ":", "é"),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          near.map((parts) => parts.join("")),
        ),
        (text) => {
          let parsed: string;
          try {
            parsed = parseSpiffeId(text);
          } catch (error) {
            expect(error).toEqual(refused);
            return;
          }
          expect(parsed).toBe(text);
          expect(`spiffe://${trustDomainOf(parseSpiffeId(text))}${pathOf(parseSpiffeId(text))}`).toBe(text);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("the parts of an id", () => {
  const td = parseTrustDomain("acme.test");

  it("formatSpiffeId joins literal segments and refuses one that would add a segment", () => {
    expect(formatSpiffeId(td, ["team", "pay"])).toBe("spiffe://acme.test/team/pay");
    expect(formatSpiffeId(td, [])).toBe("spiffe://acme.test");
    for (const segment of ["", ".", "..", "a/b", "a%2f", "ä"]) {
      expect(() => formatSpiffeId(td, ["team", segment]), segment).toThrow(refused);
    }
  });

  it("trustDomainOf and pathOf split an id without a rest", () => {
    const id = parseSpiffeId("spiffe://acme.test/team/pay");
    expect(trustDomainOf(id)).toBe("acme.test");
    expect(pathOf(id)).toBe("/team/pay");
    expect(pathOf(parseSpiffeId("spiffe://acme.test"))).toBe("");
  });

  it("instanceIdOf and classIdOf see an instance only behind a class", () => {
    const instance = parseSpiffeId("spiffe://acme.test/team/pay/inst-01J");
    expect(instanceIdOf(instance)).toBe("inst-01J");
    expect(classIdOf(instance)).toBe("spiffe://acme.test/team/pay");
    for (const text of ["/team/pay", "/inst-01J", "/team/inst-", "/inst-1/pay", ""]) {
      const id = parseSpiffeId(`spiffe://acme.test${text}`);
      expect(instanceIdOf(id), text).toBeUndefined();
      expect(classIdOf(id), text).toBe(id);
    }
  });
});
