/** What may be on its way at once, and who may hold how much of it. */
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { Admission } from "./admission.ts";

/** Enters until refused. */
function flood(admission: Admission, flow: string, records = 1): (() => void)[] {
  const left: (() => void)[] = [];
  for (;;) {
    try {
      left.push(admission.enter(flow, records));
    } catch {
      return left;
    }
  }
}

describe("admission", () => {
  it("lets one flow hold half of all places, and refuses the next with a time to come again", () => {
    const admission = new Admission(100);
    expect(flood(admission, "a")).toHaveLength(50);
    expect(() => admission.enter("a", 1)).toThrow(
      expect.objectContaining({ code: "overloaded", details: { free: 50, retryAfterSeconds: 1 } }),
    );
  });

  it("leaves room for one that comes new, however many flood", () => {
    const admission = new Admission(100);
    for (const flow of ["a", "b", "c", "d"]) flood(admission, flow);
    expect(admission.held).toBeLessThan(100);
    admission.enter("new", 1);
  });

  it("takes all places of a request or none", () => {
    const admission = new Admission(100);
    admission.enter("a", 40);
    expectCode(() => admission.enter("a", 11), "overloaded");
    expect(admission.held).toBe(40);
    admission.enter("a", 10);
  });

  it("gives places back once, and then the flow may come again", () => {
    const admission = new Admission(10);
    const [leave] = flood(admission, "a");
    leave?.();
    leave?.();
    expect(admission.held).toBe(4);
    admission.enter("a", 1);
    expectCode(() => admission.enter("a", 1), "overloaded");
  });

  it("lets in a request that is larger than everything, alone", () => {
    const admission = new Admission(10);
    const leave = admission.enter("a", 256);
    expectCode(() => admission.enter("b", 1), "overloaded");
    leave();
    expect(admission.held).toBe(0);
  });
});
