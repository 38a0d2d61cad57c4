/** Good answers of the OpenAPI document that no schema describes: bundles, tiles, streams, pages. They stand there all the same. */
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

const OWN_FORM = { "2XX": { description: "In a form of its own, which the summary names." } };
/** The rows that turn a connection into another one. */
const SWITCHED = { "101": { description: "The connection goes on in another protocol." } };

/** The document, with an answer for each row that has only refusals. @param upgrades - paths of the rows that switch protocols. */
export function withOwnForms(document: JsonObject, upgrades: ReadonlySet<string>): JsonObject {
  const { paths, ...rest } = document;
  const filled = membersOf(paths).map(([path, row]) => {
    const good = upgrades.has(path) ? SWITCHED : OWN_FORM;
    return [path, Object.fromEntries(membersOf(row).map(([method, one]) => [method, fill(one, good)]))];
  });
  return { ...rest, paths: Object.fromEntries(filled) };
}

function fill(operation: Json, good: JsonObject): Json {
  if (!isJsonObject(operation)) return operation;
  const { responses = {} } = operation;
  if (!isJsonObject(responses) || Object.keys(responses).some((code) => code.startsWith("2")))
    return operation;
  return { ...operation, responses: { ...good, ...responses } };
}

function membersOf(value: Json | undefined): readonly (readonly [string, Json])[] {
  return isJsonObject(value) ? Object.entries(value) : [];
}
