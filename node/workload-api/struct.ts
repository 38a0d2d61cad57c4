/**
 * JSON as `google.protobuf.Struct`, which is how the Workload API returns a token's claims.
 *
 * @see Workload API §6.2.3; protobuf, `google/protobuf/struct.proto`
 */
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

/** The message of an object; bounded in depth, since a parsed `JsonObject` is. */
export function formatStruct(object: JsonObject): { readonly fields: Readonly<Record<string, object>> } {
  const fields = Object.entries(object).map(([name, value]): [string, object] => [name, formatValue(value)]);
  return { fields: Object.fromEntries(fields) };
}

function formatValue(value: Json | undefined): object {
  if (value === undefined || value === null) return { nullValue: 0 };
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "number") return { numberValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (isJsonObject(value)) return { structValue: formatStruct(value) };
  return { listValue: { values: value.map(formatValue) } };
}
