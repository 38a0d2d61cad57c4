/**
 * Examples for the OpenAPI document, made from the schemas: each member has a value as it looks on the wire, by its name
 * or its pattern. A test parses every one of them by the row's own schema.
 */
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import { isJsonObject } from "@trustwarden/core/json.ts";

const ULID = "01JD9Z6F3T8M5Q2W7X4Y1K0B9C";
const EVENT = "01890a5d-ac96-774b-bcce-b302099a8057";
const DIGEST = "3bU8r1xq0vN5mK2dZ9sYtE7wLhG4pJcXfRaQ6iVnO0Y";
const HEX_DIGEST = "5f70bf18a086007016e948b04aed3b82103a36be41755b6cddfaf10ace3c6ef1";
const TRUST_DOMAIN = "acme.example";
const SPIFFE_ID = `spiffe://${TRUST_DOMAIN}/finance/payment-agent/inst-${ULID}`;
const TIME = "2026-11-23T08:00:00Z";
const ORIGIN = "https://warden.acme.example:8443";
const UNIX_TIME = 1_795_420_800;

/** By the name of the member, for texts. */
const TEXTS: Readonly<Record<string, string>> = {
  action: "read:transactions:2026",
  actor: `agt_${ULID}`,
  address: "ada@acme.example",
  agent: `agt_${ULID}`,
  agent_id: `agt_${ULID}`,
  agent_identity: SPIFFE_ID,
  agents: `agt_${ULID}`,
  answer: "approve",
  asked_by: `person:prs_${ULID}`,
  aud: `spiffe://${TRUST_DOMAIN}/trustwarden/server/main`,
  audience: `spiffe://${TRUST_DOMAIN}/trustwarden/service/ledger/inst-${ULID}`,
  audiences: "https://api.acme.example",
  authorized_by: `policy:trustwarden-builtin-v1@${DIGEST}`,
  bundle: "H4sIAAAAAAAAAw==",
  chain: `agt_${ULID}`,
  code: "not_found",
  claim_id: `clm_${ULID}`,
  entry_id: `ent_${ULID}`,
  event: EVENT,
  event_id: EVENT,
  event_ids: EVENT,
  instance_id: `inst-${ULID}`,
  iss: ORIGIN,
  issuer: ORIGIN,
  job: "close-the-books-2026-11",
  log_origin: `${TRUST_DOMAIN}/log`,
  message: "There is no such thing, or it is not yours.",
  name: "payment-agent",
  organization: `org_${ULID}`,
  organization_id: `org_${ULID}`,
  origin: `${TRUST_DOMAIN}/log`,
  owner: `own_${ULID}`,
  owner_id: `own_${ULID}`,
  path: "finance",
  pem: "-----BEGIN PUBLIC KEY-----",
  person: `prs_${ULID}`,
  person_id: `prs_${ULID}`,
  reason: "as agreed in the change board",
  reasons: "scope_not_covered",
  resource: "postgres://finance-db/transactions",
  scope: "read:transactions",
  selectors: "unix:uid:1000",
  server_id: `spiffe://${TRUST_DOMAIN}/trustwarden/server/main`,
  since: TIME,
  spiffe_id: SPIFFE_ID,
  subject: `agt_${ULID}`,
  subtree: `own_${ULID}`,
  target: "/v1/policy",
  time: TIME,
  timestamp: TIME,
  trust_domain: TRUST_DOMAIN,
  under: `own_${ULID}`,
  until: TIME,
  url: ORIGIN,
};
/** By the pattern that a text must have, where its name alone does not say. */
const PATTERNED: readonly string[] = [
  "0",
  "payment-agent",
  TRUST_DOMAIN,
  DIGEST,
  `ent_${ULID}`,
  `agt_${ULID}`,
  `inst-${ULID}`,
  `prs_${ULID}`,
  `cnf_${ULID}`,
  `clm_${ULID}`,
  `own_${ULID}`,
  `org_${ULID}`,
  `rst_${HEX_DIGEST.slice(0, 32)}`,
  HEX_DIGEST.slice(0, 32),
  HEX_DIGEST.slice(0, 40),
  HEX_DIGEST,
  "eu-central-1",
  "20261123T080000Z",
  "/v1/policy",
  "AQID",
];
const URL_NAME = /(?:_url|_uri|_endpoint|_configuration|endpoint|_point)$/;
const DIGEST_NAME = /sha256$|commitment$|digest$|^salt$/;
const INSTANT_NAME = /_at$|^since$|^until$|^exp$|^iat$|^not_after$/;

/** Every row's body, parameters and answer with an example; texts that point nowhere point at any JSON value. */
export function withExamples(document: JsonObject): JsonObject {
  const pointed = withJsonComponent(document);
  const { paths } = pointed;
  if (!isJsonObject(paths)) throw new Error("a document has paths");
  return {
    ...pointed,
    paths: mapMembers(paths, (rows, path) =>
      mapMembers(objectOf(rows), (row, method) => withRowExamples(objectOf(row), `${method} ${path}`)),
    ),
  };
}

/** Recursive schemas come as references to nothing: all of them are any JSON value. */
function withJsonComponent(document: JsonObject): JsonObject {
  const schemas = { Json: { description: "Any JSON value." } };
  const point = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(point);
    if (!isJsonObject(value)) return value;
    return typeof value.$ref === "string" ? { $ref: "#/components/schemas/Json" } : mapMembers(value, point);
  };
  return { ...objectOf(point(document)), components: { schemas } };
}

function withRowExamples(row: JsonObject, name: string): JsonObject {
  const { parameters, requestBody, responses } = row;
  return {
    ...row,
    ...(Array.isArray(parameters) ? { parameters: parameters.map((one) => withParameterExample(one)) } : {}),
    ...(isJsonObject(requestBody) ? { requestBody: withContentExample(requestBody) } : {}),
    ...(isJsonObject(responses)
      ? { responses: mapMembers(responses, (answer) => withContentExample(objectOf(answer))) }
      : {}),
    operationId: operationIdOf(name),
  };
}

function withParameterExample(parameter: Json): Json {
  const { name, schema, ...rest } = objectOf(parameter);
  return {
    name: name ?? "",
    ...rest,
    schema: schema ?? {},
    example: exampleOf(objectOf(schema), String(name)),
  };
}

function withContentExample(part: JsonObject): JsonObject {
  const { content } = part;
  if (!isJsonObject(content)) return part;
  const shown = mapMembers(content, (media) => {
    const { schema } = objectOf(media);
    return isJsonObject(schema) ? { ...objectOf(media), example: exampleOf(schema, "") } : media;
  });
  return { ...part, content: shown };
}

/** Such as `getV1AgentsById`. */
function operationIdOf(name: string): string {
  const words = name
    .replaceAll(/\{(\w+)\}/g, "by-$1")
    .replaceAll("*", "any")
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== "");
  return words.map((word, at) => (at === 0 ? word : `${word[0]?.toUpperCase()}${word.slice(1)}`)).join("");
}

/** A value that the schema takes. @param name - of the member that it is the value of. */
function exampleOf(schema: JsonObject, name: string): Json {
  const { anyOf, oneOf, allOf, type } = schema;
  if (schema.const !== undefined) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0] ?? null;
  const [choice] = [anyOf, oneOf].find(Array.isArray) ?? [];
  if (choice !== undefined) return exampleOf(objectOf(choice), name);
  if (Array.isArray(allOf)) return Object.assign({}, ...allOf.map((part) => exampleOf(objectOf(part), name)));
  // What may be null is shown as what it is otherwise.
  switch (Array.isArray(type) ? type[0] : type) {
    case "object":
      return exampleObject(schema);
    case "array":
      return exampleList(schema, name);
    case "string":
      return exampleText(schema, name);
    case "integer":
    case "number":
      return exampleNumber(schema, name);
    case "boolean":
      return true;
    case "null":
      return null;
    default:
      return { amount: 40 };
  }
}

function exampleObject({ properties, additionalProperties, propertyNames }: JsonObject): JsonObject {
  if (isJsonObject(properties)) {
    return mapMembers(properties, (schema, name) => exampleOf(objectOf(schema), name));
  }
  if (!isJsonObject(additionalProperties)) return {};
  const { enum: names } = objectOf(propertyNames);
  const key = Array.isArray(names) ? String(names[0]) : "amount";
  return { [key]: additionalProperties.$ref === undefined ? exampleOf(additionalProperties, key) : 40 };
}

function exampleList({ items, minItems, prefixItems }: JsonObject, name: string): Json {
  if (Array.isArray(prefixItems)) return prefixItems.map((item) => exampleOf(objectOf(item), name));
  const one = exampleOf(objectOf(items), name);
  return Array.from({ length: typeof minItems === "number" && minItems > 1 ? minItems : 1 }, () => one);
}

function exampleText({ pattern, minLength, maxLength }: JsonObject, name: string): string {
  const byName = TEXTS[name] ?? (URL_NAME.test(name) ? ORIGIN : DIGEST_NAME.test(name) ? DIGEST : "example");
  const fits = (text: string) =>
    (typeof pattern !== "string" || new RegExp(pattern, "u").test(text)) &&
    (typeof maxLength !== "number" || text.length <= maxLength) &&
    (typeof minLength !== "number" || text.length >= minLength);
  const found = [byName, ...PATTERNED].find(fits);
  return found ?? "A".repeat(typeof minLength === "number" ? minLength : 1);
}

function exampleNumber({ minimum, maximum }: JsonObject, name: string): number {
  if (INSTANT_NAME.test(name)) return UNIX_TIME;
  const least = typeof minimum === "number" && minimum > 0 ? minimum : 1;
  return typeof maximum === "number" && maximum < least ? maximum : least;
}

/** An object with each member mapped. */
export function mapMembers(object: JsonObject, map: (value: Json, name: string) => Json): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]));
}

/** What is an object; else one without members. */
export function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
