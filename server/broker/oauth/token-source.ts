/**
 * How an upstream's token is got from an authorization server: what an operator says of it, as one request.
 *
 * Client credentials with a client's secret, or with a JWT-SVID of the agent in its place; token exchange and the
 * JWT-bearer grant with a JWT-SVID of the agent as what is exchanged (workload identity federation: the provider knows
 * the agent by our published keys, and nobody keeps a key of it). Pure.
 *
 * @see RFC 6749 §4.4; RFC 7523 §2.1, §2.2; RFC 8693 §2.1; RFC 8707 §2
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

const GRANTS = ["client_credentials", "token_exchange", "jwt_bearer"] as const;
const CLIENT_AUTHS = ["none", "secret_basic", "secret_post", "jwt_svid"] as const;
const MAX_PARAMETERS = 16;
const PARAMETER = /^[a-z][a-z0-9_]{0,63}$/;
const TEXT = /^[ -~]{1,2048}$/;
const MAX_CA_CHARS = 65_536;
const JWT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt";
/** Written by us; an operator's parameter of such a name would say something else than the rest of the settings. */
const OWN_PARAMETERS = new Set([
  "grant_type",
  "client_id",
  "client_secret",
  "client_assertion",
  "client_assertion_type",
  "assertion",
  "subject_token",
  "subject_token_type",
  "actor_token",
  "actor_token_type",
]);

/** Settings of a secret of kind `oauth`. */
export interface TokenSource {
  readonly endpoint: string;
  readonly grant: (typeof GRANTS)[number];
  readonly clientAuth: (typeof CLIENT_AUTHS)[number];
  readonly clientId: string | null;
  /** `aud` of the agent's JWT-SVID; the endpoint's origin unless given. */
  readonly audience: string;
  /** Sent as they are: `scope`, `resource`, `audience`, and what a provider asks for besides. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly body: "form" | "json";
  readonly allowPrivate: boolean;
  /** PEM of authorities to believe instead of the system's. */
  readonly ca: string | null;
}

/** A request for a token. Holds secrets: never logged. */
export interface TokenRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** @throws TrustWardenError `secret_malformed`. */
export function parseTokenSource(json: JsonObject): TokenSource {
  const fields = new Fields(json, "secret_malformed", "source.");
  const endpoint = parseEndpoint(fields.text("token_endpoint"));
  const source: TokenSource = {
    endpoint,
    grant: fields.oneOf("grant", GRANTS),
    clientAuth: fields.oneOf("client_auth", CLIENT_AUTHS),
    clientId: optional(fields, json, "client_id", (name) => fields.matching(name, TEXT)) ?? null,
    audience:
      optional(fields, json, "audience", (name) => fields.matching(name, TEXT)) ?? new URL(endpoint).origin,
    parameters: parseParameters(fields.take("parameters") ?? {}),
    body: optional(fields, json, "body", (name) => fields.oneOf(name, ["form", "json"] as const)) ?? "form",
    allowPrivate: optional(fields, json, "allow_private", (name) => fields.boolean(name)) ?? false,
    ca: optional(fields, json, "ca", (name) => fields.text(name, { maxChars: MAX_CA_CHARS })) ?? null,
  };
  fields.end();
  if (hasClientSecret(source) && source.clientId === null) fields.refuse("client_id");
  // Nothing would say who asks.
  if (source.grant === "client_credentials" && source.clientAuth === "none") fields.refuse("client_auth");
  return source;
}

/** Whether the secret's value is a client's secret; otherwise there is no value. */
export function hasClientSecret({ clientAuth }: TokenSource): boolean {
  return clientAuth === "secret_basic" || clientAuth === "secret_post";
}

/** Whether the agent's JWT-SVID goes along: then each agent gets a token of its own. */
export function needsAgent({ grant, clientAuth }: TokenSource): boolean {
  return grant !== "client_credentials" || clientAuth === "jwt_svid";
}

/** @param jwtSvid - of the agent, for the source's audience; empty where none is needed. */
export function formatTokenRequest(
  source: TokenSource,
  { clientSecret, jwtSvid }: { readonly clientSecret: string; readonly jwtSvid: string },
): TokenRequest {
  const { clientAuth, clientId } = source;
  const members: Readonly<Record<string, string>> = {
    ...source.parameters,
    ...grantOf(source, jwtSvid),
    ...(clientId === null || clientAuth === "secret_basic" ? {} : { client_id: clientId }),
    ...(clientAuth === "secret_post" ? { client_secret: clientSecret } : {}),
    ...(clientAuth === "jwt_svid" ? { client_assertion_type: JWT_ASSERTION, client_assertion: jwtSvid } : {}),
  };
  const isForm = source.body === "form";
  const basic = [clientId ?? "", clientSecret].map(encodeURIComponent).join(":");
  return {
    headers: {
      accept: "application/json",
      "content-type": isForm ? "application/x-www-form-urlencoded" : "application/json",
      ...(clientAuth === "secret_basic"
        ? { authorization: `Basic ${Buffer.from(basic, "utf8").toString("base64")}` }
        : {}),
    },
    body: isForm ? new URLSearchParams({ ...members }).toString() : JSON.stringify(members),
  };
}

function grantOf({ grant }: TokenSource, jwtSvid: string): Readonly<Record<string, string>> {
  switch (grant) {
    case "client_credentials":
      return { grant_type: "client_credentials" };
    case "token_exchange":
      return {
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token: jwtSvid,
        subject_token_type: JWT_TYPE,
      };
    case "jwt_bearer":
      return { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: jwtSvid };
  }
}

function parseEndpoint(text: string): string {
  const url = URL.parse(text);
  const isPlain = url !== null && url.username === "" && url.password === "" && url.hash === "";
  // Whether plain http leads to this machine only is asked when it is called.
  if (!isPlain || !["https:", "http:"].includes(url.protocol) || url.href !== text)
    throw new TrustWardenError("secret_malformed", { field: "source.token_endpoint" });
  return text;
}

function parseParameters(json: Json): Readonly<Record<string, string>> {
  if (!isJsonObject(json) || Object.keys(json).length > MAX_PARAMETERS) return refuse();
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      const isFit =
        PARAMETER.test(name) && !OWN_PARAMETERS.has(name) && typeof value === "string" && TEXT.test(value);
      return isFit ? [name, value] : refuse();
    }),
  );
}

function optional<T>(
  fields: Fields,
  json: JsonObject,
  name: string,
  read: (name: string) => T,
): T | undefined {
  if (json[name] === undefined) fields.take(name);
  return json[name] === undefined ? undefined : read(name);
}

function refuse(): never {
  throw new TrustWardenError("secret_malformed", { field: "source.parameters" });
}
