/**
 * The data that the built-in policy reads (`policies/trustwarden/data.json`), parsed.
 *
 * The guard takes the classes of actions from the same document as the policy, so that the two cannot disagree.
 */
import {
  type ActionClass,
  type ActionClasses,
  type ActionName,
  parseActionName,
  partsOf,
} from "../action.ts";
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { Enforcement } from "../principal.ts";
import { ROLES } from "../role.ts";
import { isLabel } from "./policy-input.ts";

/** More than anybody lists by hand; keeps one evaluation bounded. */
const MAX_ENTRIES = 4096;
const VERB = /^[a-z][a-z0-9_-]*$/;
const NAME = /^[a-z][a-z0-9-]{0,63}$/;
/** Shown to a human, so one line of plain text. */
const SENTENCE = /^[\x20-\x7e]{1,200}$/;
const ENFORCEMENTS: readonly Enforcement[] = ["gateway", "service", "self"];
const VERSION = /^v[0-9]+(?:\.[0-9]+){0,2}$/;

export interface PolicyData {
  readonly name: string;
  /** Such as `v2` or `v2.3`. */
  readonly version: string;
  readonly classes: ActionClasses;
  /** Exact action names, or `verb:type` for all of a type; denied to everybody. */
  readonly forbidden: readonly string[];
  /** By `verb:type` or by `verb`: where an action waits for a human, and why; the more exact key wins. */
  readonly asks: Readonly<Record<string, Ask>>;
  /** Labels that together forbid a job to carry anything outside; never empty. */
  readonly taint: readonly string[];
  /** Verbs of the control plane that operators may use. */
  readonly operatorVerbs: readonly string[];
  /** Actions of the control plane by role of a person; data of before there were people has none, and permits none. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
}

/** One rule of what a human is asked about. */
export interface Ask {
  /** Empty: nowhere, as an exception from a rule for the verb. */
  readonly at: readonly Enforcement[];
  /** The sentence that the human reads. */
  readonly why: string;
}

/**
 * Policy data from untrusted JSON. Closed, like every document here: a misspelt `forbiden` must not forbid nothing.
 *
 * @throws TrustWardenError `policy_data_malformed`.
 */
export function parsePolicyData(document: Json): PolicyData {
  const { policy } = members(document, "document", ["policy"]);
  const hasRoles = isJsonObject(policy) && Object.hasOwn(policy, "roles");
  const data = members(policy, "policy", [
    ...(hasRoles ? ["roles"] : []),
    "name",
    "version",
    "classes",
    "forbidden",
    "asks",
    "taint",
    "operator_verbs",
  ]);
  return {
    name: matching(data.name, NAME, "name"),
    version: matching(data.version, VERSION, "version"),
    classes: parseClasses(data.classes),
    forbidden: list(data.forbidden, "forbidden").map(parsePattern),
    asks: parseAsks(data.asks),
    taint: parseTaint(data.taint),
    operatorVerbs: list(data.operator_verbs, "operator_verbs").map((verb) =>
      matching(verb, VERB, "operator_verbs"),
    ),
    roles: hasRoles ? parsePersonRoles(data.roles) : {},
  };
}

/** What the data says about asking a human; undefined where it says nothing, or makes an exception. */
export function askOf(action: ActionName, { asks }: Pick<PolicyData, "asks">): Ask | undefined {
  const { verb, type } = partsOf(action);
  const key = [`${verb}:${type}`, verb].find((each) => Object.hasOwn(asks, each));
  const ask = key === undefined ? undefined : asks[key];
  return ask === undefined || ask.at.length === 0 ? undefined : ask;
}

/** The name that decisions and records carry, such as `trustwarden-builtin-v1`. */
export function formatPolicyName({ name, version }: Pick<PolicyData, "name" | "version">): string {
  return `${name}-${version}`;
}

function parseClasses(value: Json | undefined): ActionClasses {
  if (!isJsonObject(value)) return refuse("classes");
  const entries = Object.entries(value);
  if (entries.length === 0 || entries.length > MAX_ENTRIES) refuse("classes");
  return Object.freeze(
    Object.fromEntries(entries.map(([key, name]) => [parseClassKey(key), parseClass(name)])),
  );
}

function parseAsks(value: Json | undefined): PolicyData["asks"] {
  if (!isJsonObject(value)) return refuse("asks");
  const entries = Object.entries(value);
  if (entries.length > MAX_ENTRIES) refuse("asks");
  return Object.freeze(Object.fromEntries(entries.map(([key, ask]) => [parseClassKey(key), parseAsk(ask)])));
}

function parseAsk(value: Json): Ask {
  const { at, why } = members(value, "asks", ["at", "why"]);
  return {
    at: list(at, "asks").map((place) => ENFORCEMENTS.find((known) => known === place) ?? refuse("asks")),
    why: matching(why, SENTENCE, "asks"),
  };
}

/** `anybody` is whoever is logged in. */
function parsePersonRoles(value: Json | undefined): PolicyData["roles"] {
  const roles = members(value, "roles", ["anybody", ...ROLES]);
  const entries = Object.entries(roles).map(([role, names]) => [
    role,
    list(names, "roles").map(parsePattern),
  ]);
  return Object.freeze(Object.fromEntries(entries));
}

/** An empty list would taint every job, and a list of one label the reading of it. */
function parseTaint(value: Json | undefined): readonly string[] {
  const labels = list(value, "taint").map((label) =>
    typeof label === "string" && isLabel(label) ? label : refuse("taint"),
  );
  return labels.length === 0 ? refuse("taint") : labels;
}

function parseClassKey(key: string): string {
  if (VERB.test(key)) return key;
  const pattern = parsePattern(key);
  return pattern.split(":").length === 2 ? pattern : refuse("classes");
}

function parseClass(value: Json): ActionClass {
  return value === "A" || value === "B" || value === "C" ? value : refuse("classes");
}

function parsePattern(value: Json): string {
  try {
    return typeof value === "string" ? parseActionName(value) : refuse("pattern");
  } catch (cause) {
    throw new TrustWardenError("policy_data_malformed", { field: "pattern" }, { cause });
  }
}

function matching(value: Json | undefined, pattern: RegExp, field: string): string {
  return typeof value === "string" && pattern.test(value) ? value : refuse(field);
}

function list(value: Json | undefined, field: string): readonly Json[] {
  return Array.isArray(value) && value.length <= MAX_ENTRIES ? value : refuse(field);
}

function members(value: Json | undefined, field: string, names: readonly string[]): JsonObject {
  if (!isJsonObject(value)) return refuse(field);
  const isExact =
    Object.keys(value).length === names.length && names.every((name) => Object.hasOwn(value, name));
  return isExact ? value : refuse(field);
}

function refuse(field: string): never {
  throw new TrustWardenError("policy_data_malformed", { field });
}
