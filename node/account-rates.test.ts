import { describe, expect, it } from "vitest";
import { AccountRates } from "./account-rates.ts";

const code = expect.objectContaining({ code: "rate_limited" });

describe("what one account may have issued", () => {
  it("is 200 at once and 20 a second after it; another account's is its own", () => {
    let nowMs = 0;
    const rates = new AccountRates(() => nowMs);
    rates.take(1000, 200);
    expect(() => rates.take(1000, 1)).toThrow(code);
    rates.take(1001, 200);
    nowMs += 49;
    expect(() => rates.take(1000, 1)).toThrow(code);
    nowMs += 1;
    rates.take(1000, 1);
    expect(() => rates.take(1000, 1)).toThrow(code);
    nowMs += 3_600_000;
    expect(() => rates.take(1000, 201)).toThrow(code);
    rates.take(1000, 200);
  });

  it("is not touched by what is refused", () => {
    const rates = new AccountRates(() => 0);
    expect(() => rates.take(1000, 201)).toThrow(code);
    rates.take(1000, 200);
  });
});
