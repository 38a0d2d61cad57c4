/** Refusals of the OpenAPI document: all rows have the same two forms, which stand in the document once. */
import { formatCanonicalJson, isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

/** The document, with each refusal of a row as a reference to the one of its form. */
export function withSharedRefusals(document: JsonObject): JsonObject {
  const names = new Map<string, string>();
  const responses: Record<string, Json> = {};
  const share = (refusal: Json): Json => {
    const text = formatCanonicalJson(refusal);
    const name = names.get(text) ?? `Refusal${names.size === 0 ? "" : names.size + 1}`;
    names.set(text, name);
    responses[name] = refusal;
    return { $ref: `#/components/responses/${name}` };
  };
  const walk = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(walk);
    if (!isJsonObject(value)) return value;
    const members = Object.entries(value).map(([name, member]) => [
      name,
      name === "4XX" || name === "5XX" ? share(member) : walk(member),
    ]);
    return Object.fromEntries(members);
  };
  const { paths = {}, components = {}, ...rest } = document;
  const shared = walk(paths);
  return {
    ...rest,
    paths: shared,
    components: { ...(isJsonObject(components) ? components : {}), responses },
  };
}
