/** Every example of the OpenAPI document is parsed by the schema of its row, and there is one wherever there is a schema. */
import { readFileSync } from "node:fs";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import type { Route } from "./route.ts";
import { formatRoute } from "./route.ts";
import { ROUTES } from "./routes.ts";

const document = parseJsonObject(readFileSync("docs/openapi.json", "utf8"), 4_000_000);

function at(value: Json | undefined, ...names: readonly string[]): Json | undefined {
  return names.reduce<Json | undefined>(
    (found, name) => (isJsonObject(found) ? found[name] : undefined),
    value,
  );
}

function rowOf({ method, path }: Route): Json | undefined {
  const spelled = path.replaceAll(/:(\w+)/g, "{$1}");
  const found = at(document, "paths", spelled, method.toLowerCase());
  if (found !== undefined) return found;
  return at(document, "paths", spelled.replace("*", "{*}"), method.toLowerCase());
}

/** Examples of the parameters of one place, by name. */
function parametersOf(row: Json | undefined, place: string): JsonObject {
  const parameters = at(row, "parameters");
  const all = Array.isArray(parameters) ? parameters : [];
  const here = all.filter((one) => at(one, "in") === place);
  return Object.fromEntries(here.map((one) => [String(at(one, "name")), at(one, "example") ?? null]));
}

function problemOf(schema: z.ZodType | undefined, example: Json | undefined): string {
  if (schema === undefined) return "";
  if (example === undefined) return "there is none";
  const parsed = schema.safeParse(example);
  return parsed.success ? "" : JSON.stringify(parsed.error.issues.slice(0, 2));
}

const exampleIn = (row: Json | undefined, ...place: readonly string[]) => {
  const content = at(row, ...place, "content");
  const [media] = isJsonObject(content) ? Object.values(content) : [];
  return at(media, "example");
};

/** The refusal of a row, which refers to the one of its form. */
const refusalOf = (row: Json | undefined) => {
  const name = String(at(row, "responses", "4XX", "$ref")).replace("#/components/responses/", "");
  return at(document, "components", "responses", name);
};

const isAnsweredCreated = (row: Json | undefined) => at(row, "responses", "201") !== undefined;

const CASES = ROUTES.filter(({ answer }) => answer !== "upgrade").map(
  (route) => [formatRoute(route), route] as const,
);

describe("the examples of the OpenAPI document", () => {
  it.each(CASES)("fit the schemas of %s", (_name, route) => {
    const row = rowOf(route);
    expect(row).toBeDefined();
    const answer = typeof route.answer === "string" ? undefined : route.answer;
    const problems = {
      body: problemOf(route.body, exampleIn(row, "requestBody")),
      query: problemOf(route.query, parametersOf(row, "query")),
      params: problemOf(route.params, parametersOf(row, "path")),
      answer: problemOf(answer, exampleIn(row, "responses", isAnsweredCreated(row) ? "201" : "200")),
      refusal: exampleIn(refusalOf(row)) === undefined ? "there is none" : "",
    };
    expect(problems).toEqual({ body: "", query: "", params: "", answer: "", refusal: "" });
  });

  it("has a good answer for every row, also where it has a form of its own", () => {
    const rows = Object.entries(Object(document.paths)).flatMap(([path, row]) =>
      Object.entries(Object(row)).map(
        ([method, one]) => [`${method} ${path}`, Object(one).responses] as const,
      ),
    );
    const without = rows.filter(
      ([, responses]) => !Object.keys(responses).some((code) => /^[12]/.test(code)),
    );
    expect(without.map(([name]) => name)).toEqual([]);
    expect(rows.length).toBeGreaterThan(150);
  });

  it("leaves no reference that points nowhere, and no operation without a name of its own", () => {
    const text = JSON.stringify(document);
    const pointed = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name = ""]) => name,
    );
    expect(pointed.length).toBeGreaterThan(10);
    for (const name of new Set(pointed)) expect(at(document, "components", "schemas", name)).toBeDefined();
    const names = [...text.matchAll(/"operationId":"([^"]+)"/g)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(100);
    expect(new Set(names).size).toBe(names.length);
  });
});
