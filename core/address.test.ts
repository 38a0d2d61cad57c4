/** Addresses that look alike are one; what is no plain ASCII address is none. */
import { describe, expect, it } from "vitest";
import { expectCode } from "../test/support/expect-code.ts";
import { formatAddressLook } from "./address.ts";

describe("how an address looks", () => {
  it.each([
    "Ada.Lovelace@acme.test",
    "adalovelace+forum@ACME.test",
    "ada_lovelace@acme.test",
    "adal0velace@acme.test",
    "ada1ovelace@acme.test",
    "adaIovelace@acme.test",
    "ada-lovelace@acrne.test",
  ])("is the same for %s", (address) => {
    expect(formatAddressLook(address)).toBe(formatAddressLook("ada.lovelace@acme.test"));
  });

  it.each(["grace@acme.test", "ada@acme.test", "ada.lovelace@acme.example", "bob.lovelace@acme.test"])(
    "is another for %s",
    (address) => {
      expect(formatAddressLook(address)).not.toBe(formatAddressLook("ada.lovelace@acme.test"));
    },
  );

  it.each([
    "",
    "ada",
    "@acme.test",
    "ada@",
    "ada@acme",
    "аda@acme.test",
    "ada@аcme.test",
    "ada@xn--cme-8cd.test",
    "+forum@acme.test",
    '"ada"@acme.test',
    "ada@acme.test\n",
    `${"a".repeat(65)}@acme.test`,
    `ada@${"a.".repeat(126)}test`,
  ])("refuses %j", (address) => {
    expectCode(() => formatAddressLook(address), "address_refused");
  });
});
