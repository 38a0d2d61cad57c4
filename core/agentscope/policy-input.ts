/**
 * What a policy sees: one closed, bounded JSON document for each question.
 *
 * A member that is missing makes a Rego deny undefined, and an unknown one may mean something to somebody else's
 * policy, so both are refused before any engine is asked. Text from outside is only ever a value in here; it is never
 * put into a policy's source, a query or a path (E3).
 *
 * The members are named as policies read them.
 *
 * @see policies/README.md, "The input".
 */
import { type ActionClass, parseActionName, partsOf } from "../action.ts";
import { STRENGTHS } from "../attestation.ts";
import { TrustWardenError } from "../error.ts";
import type { JsonObject } from "../json.ts";
import { ROLES, type Role } from "../role.ts";
import { isBoundedObject } from "./arguments.ts";

/** As long as a SPIFFE ID may be; longer than any name of ours. */
const MAX_TEXT_CHARS = 2048;
/** As many as a workload can have. */
const MAX_SELECTORS = 128;
/** Deeper than any delegation limit that can be granted. */
const MAX_CHAIN = 64;
/** More kinds of content than a policy tells apart. */
const MAX_LABELS = 16;
const LABEL = /^[a-z][a-z0-9_-]{0,31}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

const PRINCIPAL_KINDS = ["agent", "enrollee", "owner", "person", "operator", "verifier", "node"] as const;
const CLASSES = ["A", "B", "C"] as const satisfies readonly ActionClass[];
const PLANES = ["data", "control"] as const;
const SUBJECTS = ["self", "descendant", "other", "none"] as const;
const ENFORCEMENTS = ["gateway", "service", "self"] as const;
const CUSTODIES = ["agent", "delivered", "sidecar", "none"] as const;

/** Data: what agents do to the world. Control: what anybody does to identities. */
export type Plane = (typeof PLANES)[number];
/** Who is acted on, seen from the principal; `none` where an action has no subject. */
export type Subject = (typeof SUBJECTS)[number];

export interface PolicyInput {
  readonly action: {
    readonly name: string;
    readonly verb: string;
    readonly type: string;
    readonly path: string;
  };
  readonly resource: string;
  readonly class: ActionClass;
  readonly plane: Plane;
  readonly subject: Subject;
  readonly enforcement: (typeof ENFORCEMENTS)[number];
  readonly principal: {
    readonly kind: (typeof PRINCIPAL_KINDS)[number];
    /** SPIFFE ID, `owner:<id>`, `person:<id>`, `enrollee:<id>` or `operator`. */
    readonly id: string;
    /** The SPIFFE ID without its instance; empty for who has none. */
    readonly class_id: string;
    /** Empty for who has none. */
    readonly owner_id: string;
    readonly custody: (typeof CUSTODIES)[number];
    /** Of a person; empty for everybody else. */
    readonly roles: readonly Role[];
  };
  /** What was verified when an agent's identity was issued; `none` and empty for anyone but an agent. */
  readonly agent: {
    readonly attested: {
      readonly type: string;
      readonly strength: (typeof STRENGTHS)[number];
      readonly selectors: readonly string[];
    };
    /** base64url; empty when none was declared. */
    readonly composition_sha256: string;
  };
  /** Agent ids from the root down; empty for anyone but an agent. */
  readonly chain: readonly string[];
  /** Whether every link's scope covers the action, and how many links there are. */
  readonly scope: { readonly covered: boolean; readonly links: number };
  readonly view: { readonly fresh: boolean; readonly epoch: number };
  /** Parameters of the action; `{}` when none are shown. */
  readonly arguments: JsonObject;
  /** What the job has read so far, such as `untrusted` and `private`; sorted, each once. */
  readonly labels: readonly string[];
  /** Whether the action carries anything to where others read it. */
  readonly outside: boolean;
  /** Whether a freeze covers the action. */
  readonly frozen: boolean;
  /** Whether a valid approval of exactly this action and these parameters is at hand. */
  readonly approved: boolean;
}

/** Whether a text names a kind of content, as route tables and adapters declare it. */
export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

/**
 * A policy input from any value.
 *
 * @throws TrustWardenError `policy_input_malformed` for a member that is missing, unknown, of another type or too long.
 */
export function parsePolicyInput(value: unknown): PolicyInput {
  const root = members(value, "input", [
    "action",
    "resource",
    "class",
    "plane",
    "subject",
    "enforcement",
    "principal",
    "agent",
    "chain",
    "scope",
    "view",
    "arguments",
    "labels",
    "outside",
    "frozen",
    "approved",
  ]);
  const scope = members(root.scope, "scope", ["covered", "links"]);
  const view = members(root.view, "view", ["fresh", "epoch"]);
  const chain = parseChain(root.chain);
  const links = integer(scope.links, "scope.links");
  if (links !== chain.length) refuse("scope.links");
  return {
    action: parseAction(root.action),
    resource: text(root.resource, "resource"),
    class: oneOf(root.class, CLASSES, "class"),
    plane: oneOf(root.plane, PLANES, "plane"),
    subject: oneOf(root.subject, SUBJECTS, "subject"),
    enforcement: oneOf(root.enforcement, ENFORCEMENTS, "enforcement"),
    principal: parsePrincipal(root.principal),
    agent: parseAgent(root.agent),
    chain,
    scope: { covered: boolean(scope.covered, "scope.covered"), links },
    view: { fresh: boolean(view.fresh, "view.fresh"), epoch: integer(view.epoch, "view.epoch") },
    arguments: isBoundedObject(root.arguments) ? root.arguments : refuse("arguments"),
    labels: parseLabels(root.labels),
    outside: boolean(root.outside, "outside"),
    frozen: boolean(root.frozen, "frozen"),
    approved: boolean(root.approved, "approved"),
  };
}

function parseAction(value: unknown): PolicyInput["action"] {
  const action = members(value, "action", ["name", "verb", "type", "path"]);
  const name = parseActionName(text(action.name, "action.name"));
  const parts = partsOf(name);
  if (action.verb !== parts.verb || action.type !== parts.type || action.path !== parts.path)
    refuse("action");
  return { name, ...parts };
}

function parsePrincipal(value: unknown): PolicyInput["principal"] {
  const principal = members(value, "principal", ["kind", "id", "class_id", "owner_id", "custody", "roles"]);
  return {
    kind: oneOf(principal.kind, PRINCIPAL_KINDS, "principal.kind"),
    id: text(principal.id, "principal.id"),
    class_id: text(principal.class_id, "principal.class_id"),
    owner_id: text(principal.owner_id, "principal.owner_id"),
    custody: oneOf(principal.custody, CUSTODIES, "principal.custody"),
    roles: texts(principal.roles, "principal.roles", ROLES.length).map((role) =>
      oneOf(role, ROLES, "principal.roles"),
    ),
  };
}

function parseAgent(value: unknown): PolicyInput["agent"] {
  const agent = members(value, "agent", ["attested", "composition_sha256"]);
  const attested = members(agent.attested, "agent.attested", ["type", "strength", "selectors"]);
  return {
    attested: {
      type: text(attested.type, "agent.attested.type"),
      strength: oneOf(attested.strength, STRENGTHS, "agent.attested.strength"),
      selectors: texts(attested.selectors, "agent.attested.selectors", MAX_SELECTORS),
    },
    composition_sha256: text(agent.composition_sha256, "agent.composition_sha256"),
  };
}

function parseChain(value: unknown): readonly string[] {
  return texts(value, "chain", MAX_CHAIN);
}

/** Sorted and each once, so that one set has one spelling. */
function parseLabels(value: unknown): readonly string[] {
  const labels = texts(value, "labels", MAX_LABELS);
  const isSet = labels.every((label, at) => isLabel(label) && (at === 0 || (labels[at - 1] ?? "") < label));
  return isSet ? labels : refuse("labels");
}

function texts(value: unknown, field: string, maxItems: number): readonly string[] {
  if (!Array.isArray(value) || value.length > maxItems) return refuse(field);
  return Array.from(value, (item: unknown) => text(item, field));
}

/** The value's own members, when they are exactly the named ones. */
function members<Name extends string>(
  value: unknown,
  field: string,
  names: readonly Name[],
): Record<Name, unknown> {
  if (!isObject(value)) return refuse(field);
  const isExact =
    Object.keys(value).length === names.length && names.every((name) => Object.hasOwn(value, name));
  return isExact && hasMembers(value, names) ? value : refuse(field);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasMembers<Name extends string>(
  value: object,
  names: readonly Name[],
): value is Record<Name, unknown> {
  return names.every((name) => name in value);
}

/** Bounded text without control characters or broken surrogates, which JSON readers disagree about. */
function text(value: unknown, field: string): string {
  if (typeof value !== "string" || value.length > MAX_TEXT_CHARS) return refuse(field);
  return value.isWellFormed() && !CONTROL_CHARACTER.test(value) ? value : refuse(field);
}

function boolean(value: unknown, field: string): boolean {
  return typeof value === "boolean" ? value : refuse(field);
}

function integer(value: unknown, field: string): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : refuse(field);
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[], field: string): T {
  return allowed.find((item) => item === value) ?? refuse(field);
}

function refuse(field: string): never {
  throw new TrustWardenError("policy_input_malformed", { field });
}
