/**
 * Types of the API for TypeScript, made from the OpenAPI document and from nothing else: what a client is compiled against
 * is what the document says.
 */
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

const HEADER = `/**
 * Generated from docs/openapi.json by server/http/write-openapi.ts; a test compares the two. Not to be edited.
 */
// biome-ignore-all format: it is generated, a row a line.

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Rows of the API by method and path: what they are asked with, and what they answer. */
export interface Rows {
`;
/** Names that need no quotes. */
const PLAIN_NAME = /^[A-Za-z_$][A-Za-z0-9_$]*$/;

/** The module, as text. @param document - as `formatOpenApi` makes it. */
export function formatClientTypes(document: JsonObject): string {
  const rows = Object.entries(objectOf(document.paths)).flatMap(([path, methods]) =>
    Object.entries(objectOf(methods)).map(([method, row]) =>
      formatRow(`${method.toUpperCase()} ${path}`, objectOf(row)),
    ),
  );
  return `${HEADER}${rows.join("")}}\n`;
}

function formatRow(name: string, { parameters, requestBody, responses, summary }: JsonObject): string {
  const all = Array.isArray(parameters) ? parameters.map(objectOf) : [];
  const body = jsonOf(requestBody);
  const answers = objectOf(responses);
  const answer = jsonOf(answers["200"] ?? answers["201"]);
  const members = [
    `readonly query: ${formatParameters(all.filter((one) => one.in === "query"))}`,
    `readonly body: ${body === undefined ? "undefined" : typeOf(body)}`,
    `readonly answer: ${answer === undefined ? "undefined" : typeOf(answer)}`,
  ];
  return `  /** ${String(summary)} */ readonly ${JSON.stringify(name)}: { ${members.join("; ")} };\n`;
}

function formatParameters(parameters: readonly JsonObject[]): string {
  const members = parameters.map(({ name, required, schema }) =>
    formatMember(String(name), { type: typeOf(objectOf(schema)), isRequired: required === true }),
  );
  return members.length === 0 ? "object" : `{ ${members.join("; ")} }`;
}

/** The schema of a JSON body; undefined for what has none, or is a form, text or bytes. */
function jsonOf(part: Json | undefined): JsonObject | undefined {
  const media = objectOf(objectOf(objectOf(part).content)["application/json"]);
  return isJsonObject(media.schema) ? media.schema : undefined;
}

function typeOf(schema: JsonObject): string {
  const { anyOf, oneOf, allOf, type, enum: values } = schema;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(values)) return union(values.map((value) => JSON.stringify(value)));
  const choices = [anyOf, oneOf].find(Array.isArray);
  if (choices !== undefined) return union(choices.map((choice) => typeOf(objectOf(choice))));
  if (Array.isArray(allOf)) return `(${allOf.map((part) => typeOf(objectOf(part))).join(" & ")})`;
  if (Array.isArray(type)) return union(type.map((one) => typeOf({ ...schema, type: one })));
  switch (type) {
    case "object":
      return objectTypeOf(schema);
    case "array":
      return listTypeOf(schema);
    case "string":
    case "boolean":
    case "null":
      return type;
    case "integer":
    case "number":
      return "number";
    default:
      return "Json";
  }
}

function listTypeOf({ items, prefixItems }: JsonObject): string {
  if (Array.isArray(prefixItems)) return `[${prefixItems.map((item) => typeOf(objectOf(item))).join(", ")}]`;
  return `${typeOf(objectOf(items))}[]`;
}

function objectTypeOf({ properties, required, additionalProperties }: JsonObject): string {
  const needed = Array.isArray(required) ? required : [];
  const members = Object.entries(objectOf(properties)).map(([name, schema]) =>
    formatMember(name, { type: typeOf(objectOf(schema)), isRequired: needed.includes(name) }),
  );
  // An index beside named members would have to hold for them too.
  const index = isJsonObject(additionalProperties) && members.length === 0 ? additionalProperties : undefined;
  if (index !== undefined) members.push(`readonly [name: string]: ${typeOf(index)}`);
  return members.length === 0 ? "object" : `{ ${members.join("; ")} }`;
}

function formatMember(
  name: string,
  { type, isRequired }: { readonly type: string; readonly isRequired: boolean },
): string {
  const spelled = PLAIN_NAME.test(name) ? name : JSON.stringify(name);
  return `readonly ${spelled}${isRequired ? "" : "?"}: ${type}${isRequired ? "" : " | undefined"}`;
}

function union(types: readonly string[]): string {
  const unique = [...new Set(types)];
  return unique.length === 1 ? (unique[0] ?? "never") : `(${unique.join(" | ")})`;
}

function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
