/** What the console is compiled against is the OpenAPI document, which is the route table. */
import { readFileSync } from "node:fs";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { describe, expect, it } from "vitest";
import { formatClientTypes } from "./client-types.ts";

const document = readFileSync("docs/openapi.json", "utf8");

describe("the generated types of the API", () => {
  it("are those of the document (node server/http/write-openapi.ts)", () => {
    const written = readFileSync("console/src/api/rows.generated.ts", "utf8");
    expect(formatClientTypes(parseJsonObject(document, document.length))).toBe(written);
  });

  it("spell unions, options, lists, records and unnamed JSON", () => {
    const schema = {
      type: "object",
      required: ["a"],
      properties: {
        a: { anyOf: [{ type: "string" }, { type: "null" }] },
        b: { type: "array", items: { enum: ["x", "y"] } },
        "c-d": { type: "object", additionalProperties: { type: "integer" } },
        e: { $ref: "#/components/schemas/Json" },
        f: { type: ["number", "null"] },
      },
    };
    const answer = { 200: { content: { "application/json": { schema } } } };
    const row = { summary: "A row", parameters: [{ name: "q", in: "query", schema: { type: "string" } }] };
    const text = formatClientTypes({ paths: { "/x/{id}": { get: { ...row, responses: answer } } } });
    expect(text).toContain(
      '/** A row */ readonly "GET /x/{id}": { readonly query: { readonly q?: string | undefined }; readonly body: undefined; ' +
        'readonly answer: { readonly a: (string | null); readonly b?: ("x" | "y")[] | undefined; ' +
        'readonly "c-d"?: { readonly [name: string]: number } | undefined; readonly e?: Json | undefined; ' +
        "readonly f?: (number | null) | undefined } };",
    );
  });
});
