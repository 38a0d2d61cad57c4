/** What names people is sealed, each for whom it is about. */
import { randomBytes } from "node:crypto";
import { formatAddressLook } from "@trustwarden/core/address.ts";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { PersonSeal } from "./person-seal.ts";

const random = (length: number) => new Uint8Array(randomBytes(length));
const seal = new PersonSeal(new Uint8Array(32).fill(7), random);
const other = new PersonSeal(new Uint8Array(32).fill(8), random);

describe("a text", () => {
  it("opens with the key and for what it was sealed, and nowhere else", () => {
    const kept = seal.sealText('{"address":"ada@acme.test"}', "cnf_1");
    expect(kept).not.toContain("ada");
    expect(seal.openText(kept, "cnf_1")).toBe('{"address":"ada@acme.test"}');
    expectCode(() => seal.openText(kept, "cnf_2"), "seal_broken");
    expectCode(() => other.openText(kept, "cnf_1"), "seal_broken");
  });

  it("of before, when none was sealed, is as it was", () => {
    for (const text of ["", "{}"]) expect(seal.openText(text, "cnf_1")).toBe(text);
  });
});

describe("a digest", () => {
  it("is of one key and for one use", () => {
    const address = "ada@acme.test";
    const look = formatAddressLook(address);
    const made = [seal.lookOf(address), seal.digestOfSubject(look), other.digestOfSubject(look)];
    expect(new Set(made).size).toBe(3);
  });
});
