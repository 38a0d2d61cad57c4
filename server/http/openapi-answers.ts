/** Good answers of the OpenAPI document that no schema describes: bundles, tiles, streams, pages. They stand there all the same. */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { mapMembers, objectOf } from "./openapi-examples.ts";

const OWN_FORM = { "2XX": { description: "In a form of its own, which the summary names." } };
/** The rows that turn a connection into another one. */
const SWITCHED = { "101": { description: "The connection goes on in another protocol." } };

/** The document, with an answer for each row that has only refusals. @param upgrades - paths of the rows that switch protocols. */
export function withOwnForms(document: JsonObject, upgrades: ReadonlySet<string>): JsonObject {
  const { paths, ...rest } = document;
  const filled = mapMembers(objectOf(paths), (rows, path) => {
    const good = upgrades.has(path) ? SWITCHED : OWN_FORM;
    return mapMembers(objectOf(rows), (row) => fill(objectOf(row), good));
  });
  return { ...rest, paths: filled };
}

function fill(row: JsonObject, good: JsonObject): JsonObject {
  const responses = objectOf(row.responses);
  const isAnswered = Object.keys(responses).some((code) => code.startsWith("2"));
  return isAnswered ? row : { ...row, responses: { ...good, ...responses } };
}
