/** Nonces: single use, ours, in time, and free of charge to hand out. */
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { Nonces } from "./nonces.ts";

const NOW = 1_780_000_000;
const create = () => new Nonces((length) => new Uint8Array(randomBytes(length)));

describe("nonces", () => {
  it("are 32 bytes and last a minute", () => {
    const { nonce, expiresAt } = create().issue(NOW);
    expect(Buffer.from(nonce, "base64url")).toHaveLength(32);
    expect(expiresAt).toBe(NOW + 60);
  });

  it("can be spent once, up to their last second", () => {
    const nonces = create();
    const { nonce } = nonces.issue(NOW);
    nonces.spend(nonce, NOW + 59);
    expectCode(() => nonces.spend(nonce, NOW + 59), "nonce_invalid");
  });

  it("expire", () => {
    const nonces = create();
    const { nonce } = nonces.issue(NOW);
    expectCode(() => nonces.spend(nonce, NOW + 60), "nonce_invalid");
  });

  it("of another process, or with any byte changed, are refused", () => {
    const nonces = create();
    const { nonce } = nonces.issue(NOW);
    expectCode(() => create().spend(nonce, NOW), "nonce_invalid");
    const bytes = Buffer.from(nonce, "base64url");
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expectCode(() => nonces.spend(changed.toString("base64url"), NOW), "nonce_invalid");
    }
    nonces.spend(nonce, NOW);
  });

  it("of a wrong length or spelling are refused", () => {
    const nonces = create();
    const { nonce } = nonces.issue(NOW);
    expectCode(() => nonces.spend(nonce.slice(0, 40), NOW), "nonce_invalid");
    expectCode(() => nonces.spend(`${nonce}=`, NOW), "base64_malformed");
  });

  it("that were spent stay spent until they have expired, however many there are", () => {
    const nonces = create();
    const issued = Array.from({ length: 1000 }, () => nonces.issue(NOW).nonce);
    for (const nonce of issued) nonces.spend(nonce, NOW + 30);
    for (const nonce of issued) expectCode(() => nonces.spend(nonce, NOW + 59), "nonce_invalid");
  });
});
