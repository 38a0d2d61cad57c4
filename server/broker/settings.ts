/**
 * What a secret may be used for: which upstreams (by name and origin), which agents, and how it goes onto a request.
 *
 * Agents are named in the scope grammar, as `agent:<path>/<name>` or `owner:<owner id>` with its wildcards; nobody is
 * named by default. Every agent of a chain must be named: a parent that may not use a secret does not come by it
 * through a child, whose name it chose itself.
 */
import { parseActionName } from "@trustwarden/core/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import {
  formatCanonicalJson,
  isJsonObject,
  type Json,
  type JsonObject,
  parseJsonObject,
} from "@trustwarden/core/json.ts";
import { isCovered, parseScope, type Scope } from "@trustwarden/core/scope.ts";
import type { SecretKind } from "../store/broker-ports.ts";
import { parseSecretValue } from "./echo/forms.ts";
import { formatLoginValue, parseLoginValue } from "./oauth/login-value.ts";
import { hasClientSecret, parseTokenSource, type TokenSource } from "./oauth/token-source.ts";

const MAX_UPSTREAMS = 32;
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const UPSTREAM_NAME = /^[a-z][a-z0-9-]{0,62}$/;
const HEADER_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/;
const QUERY_NAME = /^[A-Za-z0-9._~-]{1,64}$/;
/** A user name of basic authentication ends at the first colon. */
const USER = /^[!-9;-~]{0,128}$/;
const TEMPLATE = /^[ -~]{0,128}\{secret\}[ -~]{0,128}$/;
const PATTERN = /^(agent|owner):(.+)$/;
/** Written by whoever sends the request, or meant for the next hop only. */
const RESERVED_HEADERS = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
const POSTGRESQL_ORIGIN =
  /^postgresql:\/\/(?:[a-z0-9][a-z0-9.-]{0,252}|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?$/;
const LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"];

/** How a secret goes onto a request. */
export type InjectionPlan =
  | { readonly as: "header"; readonly name: string; readonly template: string }
  | { readonly as: "basic"; readonly user: string }
  | { readonly as: "query"; readonly name: string };

/** A place that a secret may go to: an upstream's name leads nowhere else than it did when the secret was put. */
export interface SecretUpstream {
  readonly name: string;
  readonly origin: string;
}

export interface SecretSettings {
  readonly upstreams: readonly SecretUpstream[];
  /** As given, sorted. */
  readonly agents: readonly string[];
  /** Null for what is never put on a request. */
  readonly injection: InjectionPlan | null;
  /** What the kind needs besides; empty for values that are given. */
  readonly source: JsonObject;
}

/** An agent of a chain, as patterns see it. */
export interface NamedAgent {
  readonly path: string;
  readonly name: string;
  readonly ownerId: string;
}

/** @throws TrustWardenError `secret_malformed`. */
export function parseSecretName(text: string): string {
  return NAME.test(text) ? text : malformed("name");
}

/**
 * Settings from an operator's request, or from the store.
 *
 * @throws TrustWardenError `secret_malformed`.
 */
export function parseSettings(json: JsonObject, kind: SecretKind): SecretSettings {
  const fields = new Fields(json, "secret_malformed");
  const { injection, source } = json;
  const settings = {
    upstreams: parseUpstreams(fields.take("upstreams") ?? []),
    agents: parsePatterns(fields.texts("agents")),
    injection: injection === null ? fields.null("injection") : parseInjection(fields.object("injection")),
    source: source === undefined ? {} : fields.json("source"),
  };
  fields.end();
  if (kind === "oauth") requireScheme(parseTokenSource(settings.source), settings.injection);
  else if (Object.keys(settings.source).length > 0) malformed("source");
  const isInjected = kind === "static" || kind === "oauth";
  if (isInjected !== (settings.injection !== null)) malformed("injection");
  if (!isInjected && settings.upstreams.length > 0) malformed("upstreams");
  return settings;
}

/** A bound token has a scheme of its own (RFC 9449 §7.1); under another an upstream would take it for a bearer token. */
function requireScheme({ dpop }: TokenSource, injection: InjectionPlan | null): void {
  if (!dpop) return;
  const isDpop =
    injection?.as === "header" &&
    injection.name === "authorization" &&
    injection.template === "DPoP {secret}";
  if (!isDpop) malformed("injection");
}

/** The one spelling that versions are bound to. */
export function formatSettings({ upstreams, agents, injection, source }: SecretSettings): string {
  return formatCanonicalJson({
    upstreams: upstreams.map(({ name, origin }) => ({ name, origin })),
    agents: [...agents],
    injection: injection === null ? null : { ...injection },
    source,
  });
}

/** What is stored is what was parsed. @throws TrustWardenError `secret_malformed`. */
export function readSettings({
  settings,
  kind,
}: {
  readonly settings: string;
  readonly kind: SecretKind;
}): SecretSettings {
  return parseSettings(parseJsonObject(settings), kind);
}

/**
 * A value that fits the kind: a client's secret or none for `oauth`, else one that can go out and be found again.
 *
 * @throws TrustWardenError `secret_malformed`.
 */
export function parseValueOf(
  value: string,
  kind: SecretKind,
  { source }: Pick<SecretSettings, "source">,
): string {
  if (kind === "oauth") {
    const tokens = parseTokenSource(source);
    if (tokens.grant === "login") return parseLoginOf(value, tokens);
    if (!hasClientSecret(tokens)) return value === "" ? value : malformed("value");
  }
  return parseSecretValue(value);
}

/** The secret of the client is in the login's value exactly where the client has one. */
function parseLoginOf(value: string, source: TokenSource): string {
  const login = parseLoginValue(value);
  if ((login.clientSecret !== null) !== hasClientSecret(source)) malformed("value");
  return formatLoginValue(login);
}

/** Parsed once for each list of patterns; asked at every call. */
const scopes = new WeakMap<readonly string[], Scope>();

/** Whether every agent of a chain is named. An empty chain is nobody's. */
export function isNamed({ agents }: Pick<SecretSettings, "agents">, chain: readonly NamedAgent[]): boolean {
  const scope = scopes.get(agents) ?? scopeOf(agents);
  scopes.set(agents, scope);
  return (
    chain.length > 0 &&
    chain.every(({ path, name, ownerId }) => {
      const place = [path, name].filter((part) => part !== "").join("/");
      return (
        isCovered(scope, parseActionName(`use:agent:${place}`)) ||
        isCovered(scope, parseActionName(`use:owner:${ownerId}`))
      );
    })
  );
}

/** Whether the secret may go there. */
export function goesTo(
  { upstreams }: Pick<SecretSettings, "upstreams">,
  { upstream, origin }: { readonly upstream: string; readonly origin: string },
): boolean {
  return upstreams.some((allowed) => allowed.name === upstream && allowed.origin === origin);
}

function parseUpstreams(json: Json): readonly SecretUpstream[] {
  if (!Array.isArray(json) || json.length > MAX_UPSTREAMS) return malformed("upstreams");
  const parsed = json.map((item: Json) => {
    if (!isJsonObject(item)) return malformed("upstreams");
    const fields = new Fields(item, "secret_malformed", "upstreams.");
    const upstream = {
      name: fields.matching("name", UPSTREAM_NAME),
      origin: parseOrigin(fields.text("origin")),
    };
    fields.end();
    return upstream;
  });
  const key = ({ name, origin }: SecretUpstream) => `${name} ${origin}`;
  const distinct = new Map(parsed.map((upstream) => [key(upstream), upstream]));
  return [...distinct.keys()].toSorted().flatMap((one) => distinct.get(one) ?? []);
}

/** https, http to this machine, or a PostgreSQL server; nothing behind the port. */
function parseOrigin(text: string): string {
  if (POSTGRESQL_ORIGIN.test(text)) return text;
  const url = URL.parse(text);
  if (url === null || url.origin !== text) return malformed("origin");
  const isLocal = url.protocol === "http:" && LOOPBACK_HOSTS.includes(url.hostname);
  return url.protocol === "https:" || isLocal ? text : malformed("origin");
}

function parsePatterns(texts: readonly string[]): readonly string[] {
  scopeOf(texts);
  return [...new Set(texts)].toSorted();
}

function scopeOf(patterns: readonly string[]): Scope {
  if (!patterns.every((pattern) => PATTERN.test(pattern))) return malformed("agents");
  try {
    return parseScope(patterns.map((pattern) => `use:${pattern}`));
  } catch (cause) {
    throw new TrustWardenError("secret_malformed", { field: "agents" }, { cause });
  }
}

function parseInjection(fields: Fields): InjectionPlan {
  const as = fields.oneOf("as", ["header", "basic", "query"]);
  const plan = readPlan(fields, as);
  fields.end();
  return plan;
}

function readPlan(fields: Fields, as: InjectionPlan["as"]): InjectionPlan {
  switch (as) {
    case "header": {
      const name = fields.matching("name", HEADER_NAME);
      if (RESERVED_HEADERS.has(name) || name.startsWith("trustwarden-")) fields.refuse("name");
      const template = fields.matching("template", TEMPLATE);
      if (template.split("{secret}").length !== 2 || template !== template.trim()) fields.refuse("template");
      return { as, name, template };
    }
    case "basic": {
      const user = fields.text("user", { allowEmpty: true });
      return { as, user: USER.test(user) ? user : fields.refuse("user") };
    }
    case "query":
      return { as, name: fields.matching("name", QUERY_NAME) };
  }
}

function malformed(field: string): never {
  throw new TrustWardenError("secret_malformed", { field });
}
