/** PEM, as it is written and as it is read. */
import { expect, it } from "vitest";
import { expectCode } from "../test/support/expect-code.ts";
import { formatPem, parsePemBlocks } from "./pem.ts";

const first = new Uint8Array(100).fill(7);
const second = Uint8Array.of(1, 2, 3);

it("reads back all blocks of a label in their order, and nothing of another", () => {
  const key = formatPem("PRIVATE KEY", second);
  const text = `bag\n${formatPem("CERTIFICATE", first)}${key}\n${formatPem("CERTIFICATE", second)}rest`;
  expect(parsePemBlocks("CERTIFICATE", text)).toEqual([first, second]);
  expect(parsePemBlocks("X509 CRL", text)).toEqual([]);
});

it("refuses a block that holds no strict base64", () => {
  const text = formatPem("CERTIFICATE", first).replace("=", "");
  expectCode(() => parsePemBlocks("CERTIFICATE", text), "base64_malformed");
});
