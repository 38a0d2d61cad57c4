/** The example of `policies/examples/custom` and the built-in policy, asked without some members of their input. */
import { readFileSync } from "node:fs";
import { parsePolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import type { Unrecorded } from "@trustwarden/core/agentscope/replay.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readingInput } from "./reading-input.test.support.ts";
import { createUnseeingEngine } from "./unseeing-wasm.ts";
import { createWasmEngine } from "./wasm.ts";

const EXAMPLE = new Uint8Array(readFileSync("policies/examples/custom/policy.wasm"));
const options = {
  wasm: EXAMPLE,
  data: {},
  entrypoint: "custom/result",
  name: "payments-v1",
  hostBuiltins: [],
} as const;
const engine = createUnseeingEngine(options);
const paying = (amount: number) =>
  parsePolicyInput({
    ...readingInput,
    action: { name: "pay:invoice", verb: "pay", type: "invoice", path: "" },
    class: "A",
    arguments: { amount },
  });

describe("a module that may not see everything", () => {
  it("answers as in force where everything is there", () => {
    const inForce = createWasmEngine({
      ...options,
      wasmPath: EXAMPLE,
    });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20_000 }), fc.boolean(), (amount, approved) => {
        const question = { ...paying(amount), approved };
        const said = engine.answer({ question, unrecorded: [] });
        const answer = Object(inForce.evaluate(question));
        expect(said).toEqual({ kind: "answer", answer: { ...answer, policy: "payments-v1" } });
      }),
      { numRuns: 300 },
    );
  });

  it("answers where it looks at nothing that is hidden, and names what it looked at where it did", () => {
    const question = paying(5);
    const hidden: readonly Unrecorded[] = ["labels", "outside", "frozen", "selectors"];
    expect(engine.answer({ question, unrecorded: hidden })).toMatchObject({
      kind: "answer",
      answer: { allow: true },
    });
    expect(engine.answer({ question, unrecorded: ["labels", "arguments", "outside"] })).toEqual({
      kind: "needs",
      members: ["arguments"],
    });
    // And the question after it is answered by a module that is whole.
    expect(engine.answer({ question: paying(20_000), unrecorded: hidden })).toMatchObject({
      answer: { allow: false, reasons: ["amount_too_large", "approval_required"] },
    });
  });

  it("does not let the built-in policy pass over any of them", () => {
    const data = parseJsonObject(readFileSync("policies/trustwarden/data.json", "utf8"));
    const wasm = new Uint8Array(readFileSync("policies/decision.wasm"));
    const builtin = createUnseeingEngine({
      ...options,
      wasm,
      data,
      entrypoint: "trustwarden/decision/result",
    });
    for (const member of ["arguments", "labels", "outside", "frozen", "selectors"] as const) {
      expect(builtin.answer({ question: readingInput, unrecorded: [member] })).toEqual({
        kind: "needs",
        members: [member],
      });
    }
  });

  it("is refused as it is in force: no module, no such rule, functions that no policy may use", () => {
    const codeOf = (change: Partial<typeof options> | { readonly wasm: Uint8Array }) => {
      try {
        createUnseeingEngine({ ...options, ...change });
        return "";
      } catch (error) {
        return error instanceof TrustWardenError ? error.code : String(error);
      }
    };
    expect(codeOf({ wasm: new Uint8Array([1, 2, 3]) })).toBe("policy_unavailable");
    expect(codeOf({ wasm: new Uint8Array(readFileSync("policies/decision.wasm")) })).toBe(
      "policy_unavailable",
    );
  });
});
