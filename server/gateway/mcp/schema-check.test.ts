import { describe, expect, it } from "vitest";
import { expectCode } from "../../../test/support/expect-code.ts";
import { prepareSchema, requireValid } from "./schema-check.ts";

describe("arguments against a pinned schema", () => {
  it("are taken when they fit, and refused when they do not", () => {
    const schema = prepareSchema({
      type: "object",
      properties: { id: { type: "string", pattern: "^[a-z]+$" }, at: { $ref: "#/$defs/at" } },
      $defs: { at: { type: "integer", minimum: 1 } },
      required: ["id"],
      additionalProperties: false,
    });
    requireValid(schema, { id: "abc", at: 1 });
    for (const wrong of [{}, { id: "ABC" }, { id: "a", at: 0 }, { id: "a", more: 1 }])
      expectCode(() => requireValid(schema, wrong), "mcp_arguments_refused");
  });

  it("end in time, whatever pattern and text they were given (F21)", () => {
    const bombs = ["^(a+)+$", "^(a|aa)+$", "(.*a){20}$", "^(?=(a+)+b)", "^(([a-z])+.)+[A-Z]([a-z])+$"];
    const text = `${"a".repeat(5000)}!`;
    for (const pattern of bombs) {
      const schema = prepareSchema({ properties: { text: { type: "string", pattern } } });
      const startedAt = performance.now();
      expectCode(() => requireValid(schema, { text }), "mcp_arguments_refused");
      // The watchdog is 8 ms; the rest is room for a busy machine.
      expect(performance.now() - startedAt).toBeLessThan(1000);
    }
  });

  it("end in time when the schema refers to itself or multiplies", () => {
    const loop = prepareSchema({ $ref: "#" });
    expectCode(() => requireValid(loop, {}), "mcp_arguments_refused");
    const $defs = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => {
        const next = { $ref: `#/$defs/d${index + 1}` };
        return [`d${index}`, { allOf: [next, next] }];
      }),
    );
    const bomb = prepareSchema({ $defs: { ...$defs, d40: { type: "object" } }, $ref: "#/$defs/d0" });
    expectCode(() => requireValid(bomb, {}), "mcp_arguments_refused");
  });

  it("are never held against a schema that lies elsewhere, is too large or of another kind", () => {
    expectCode(() => prepareSchema({ $ref: "https://evil.test/schema" }), "mcp_not_approved");
    expectCode(() => prepareSchema({ $schema: "https://evil.test/dialect" }), "mcp_not_approved");
    const many = Array.from({ length: 4097 }, () => ({}));
    expectCode(() => prepareSchema({ anyOf: many }), "mcp_not_approved");
  });
});
