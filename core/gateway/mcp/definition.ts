/**
 * What a server says it offers, as it is pinned: one definition, its kind, its name and the digest of its canonical
 * JSON. The whole definition counts, description and annotations too: a model acts on every word of it (F5).
 */
import { encodeBase64url } from "../../bytes.ts";
import { sha256 } from "../../crypto.ts";
import { TrustWardenError } from "../../error.ts";
import {
  encodeCanonicalJson,
  formatCanonicalJson,
  isJsonObject,
  type Json,
  type JsonObject,
} from "../../json.ts";
import { isName, isResourceUri } from "./names.ts";

/** A definition is read by a model; larger ones are no description. */
const MAX_DEFINITION_CHARS = 65_536;
const MAX_DEFINITIONS = 1024;
const MAX_TEMPLATE_CHARS = 512;
/** Printable ASCII: a URI template with its braces. */
const TEMPLATE = /^[\x21-\x7e]+$/;

export const DEFINITION_KINDS = ["tool", "resource", "template", "prompt", "instructions"] as const;
export type DefinitionKind = (typeof DEFINITION_KINDS)[number];

/** One thing that a server offers. */
export interface Definition {
  readonly kind: DefinitionKind;
  /** Name of a tool or prompt, URI, URI template; empty for the instructions, of which there is one. */
  readonly name: string;
  /** base64url SHA-256 of the canonical JSON. */
  readonly sha256: string;
  /** Canonical JSON. */
  readonly document: string;
}

/** A definition that the gateway does not take, and why; it cannot be approved. */
export interface RefusedDefinition {
  readonly kind: DefinitionKind;
  readonly reason: string;
}

/** What a list of a server holds. */
export interface DefinitionList {
  readonly definitions: readonly Definition[];
  readonly refused: readonly RefusedDefinition[];
}

/** The member of a list's result that holds its definitions. */
export const LIST_MEMBERS: Readonly<
  Record<string, { readonly member: string; readonly kind: DefinitionKind }>
> = {
  "tools/list": { member: "tools", kind: "tool" },
  "resources/list": { member: "resources", kind: "resource" },
  "resources/templates/list": { member: "resourceTemplates", kind: "template" },
  "prompts/list": { member: "prompts", kind: "prompt" },
};

/**
 * The definitions of a list's result. One that is not acceptable is left out, with its reason; two of one name are
 * both left out, since a client and a server could mean different ones.
 *
 * @throws TrustWardenError `upstream_answer_refused` when it is no list at all, or too long.
 */
export function parseDefinitions(kind: DefinitionKind, list: Json | undefined): DefinitionList {
  if (!Array.isArray(list) || list.length > MAX_DEFINITIONS) {
    throw new TrustWardenError("upstream_answer_refused", { reason: `list of ${kind}` });
  }
  const definitions: Definition[] = [];
  const refused: RefusedDefinition[] = [];
  for (const item of list) {
    const found = definitionOf(kind, item);
    if (typeof found === "string") refused.push({ kind, reason: found });
    else definitions.push(found);
  }
  const names = new Map<string, number>();
  for (const { name } of definitions) names.set(name, (names.get(name) ?? 0) + 1);
  const isAlone = ({ name }: Definition) => names.get(name) === 1;
  const doubles = definitions.filter((definition) => !isAlone(definition));
  return {
    definitions: definitions.filter(isAlone),
    refused: [...refused, ...doubles.map(({ name }) => ({ kind, reason: `two of the name ${name}` }))],
  };
}

/** What a server says of itself as a definition: the instructions of one of MCP, the card of an agent of A2A. */
export function instructionsOf(words: Json): Definition {
  return digested("instructions", "", words);
}

/** The document of a definition, parsed again. */
export function documentOf({ document }: Definition): Json {
  // The document is canonical JSON that this process wrote.
  return JSON.parse(document);
}

/** The input schema of a pinned tool. */
export function inputSchemaOf(definition: Definition): JsonObject {
  const document = documentOf(definition);
  const schema = isJsonObject(document) ? document.inputSchema : undefined;
  return isJsonObject(schema) ? schema : {};
}

function definitionOf(kind: DefinitionKind, item: Json): Definition | string {
  if (!isJsonObject(item)) return "not an object";
  const name = nameOf(kind, item);
  if (name === undefined) return "its name is not plain";
  if (kind === "tool" && !isJsonObject(item.inputSchema)) return `${name} has no input schema`;
  const definition = digested(kind, name, item);
  return definition.document.length > MAX_DEFINITION_CHARS ? `${name} is too large` : definition;
}

function nameOf(kind: DefinitionKind, item: JsonObject): string | undefined {
  if (kind === "resource") return isResourceUri(item.uri) ? item.uri : undefined;
  if (kind === "template") return isTemplate(item.uriTemplate) ? item.uriTemplate : undefined;
  return isName(item.name) ? item.name : undefined;
}

function isTemplate(text: unknown): text is string {
  return typeof text === "string" && text.length <= MAX_TEMPLATE_CHARS && TEMPLATE.test(text);
}

function digested(kind: DefinitionKind, name: string, value: Json): Definition {
  return {
    kind,
    name,
    sha256: encodeBase64url(sha256(encodeCanonicalJson(value))),
    document: formatCanonicalJson(value),
  };
}
