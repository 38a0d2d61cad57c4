/**
 * Client ID metadata documents (CIMD): what a document says of the client that its URL names, as far as it matters to a
 * server without an authorization endpoint. Pure; how it is fetched is the server's business.
 *
 * Redirect URIs are read for their form alone: no flow of ours follows one. A document proves nobody by itself; it says
 * which SPIFFE IDs its client has, and those are proven by their SVIDs.
 *
 * @see draft-ietf-oauth-client-id-metadata-document-02 §3, §4; draft-ietf-oauth-spiffe-client-auth-02 §5.1
 */
import { parseSpiffeId, type SpiffeId } from "./agentid/spiffe-id.ts";
import { TrustWardenError } from "./error.ts";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";

const MAX_URL_CHARS = 512;
const MAX_LIST = 64;
const MAX_TEXT_CHARS = 2048;
/** What nobody can publish: a secret that both sides hold. */
const SHARED_SECRETS: readonly string[] = ["client_secret_post", "client_secret_basic", "client_secret_jwt"];
const SECRET_MEMBERS: readonly string[] = ["client_secret", "client_secret_expires_at"];
const PRIVATE_KEY_MEMBERS: readonly string[] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/** A document that is its URL's. */
export interface ClientDocument {
  readonly clientId: string;
  /** A SPIFFE ID, or the beginning of some up to and with a slash. */
  readonly spiffeId: { readonly kind: "exact" | "prefix"; readonly value: string };
  /** Null where the document does not say. */
  readonly authMethod: string | null;
  /** Null where the document does not say. */
  readonly grantTypes: readonly string[] | null;
}

/**
 * The URL of a document, in its one spelling: https, a path, no user, query, fragment or dots to resolve. Plain http is
 * taken for this machine alone, and fetched only where the operator says so.
 *
 * @throws TrustWardenError `client_document_refused`.
 * @see draft-ietf-oauth-client-id-metadata-document-02 §3
 */
export function parseClientDocumentUrl(text: string): URL {
  const url = text.length > MAX_URL_CHARS ? null : URL.parse(text);
  if (url === null || url.href !== text) return refuse("url");
  const isPlain = url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  const isLocal = url.protocol === "http:" && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  // `?` and `#` alone leave no trace in the parts.
  if (!isPlain || /[?#%]/.test(text) || !(url.protocol === "https:" || isLocal)) return refuse("url");
  return url.pathname === "/" ? refuse("url") : url;
}

/** Whether a client's name is the URL of a document. */
export function isClientDocumentUrl(clientId: string): boolean {
  return /^https?:\/\//.test(clientId);
}

/**
 * A document from untrusted JSON.
 *
 * @param url - as the client gave it, and as the document was fetched.
 * @throws TrustWardenError `client_document_refused`.
 */
export function parseClientDocument(json: JsonObject, url: string): ClientDocument {
  if (json.client_id !== url) refuse("client_id");
  if (SECRET_MEMBERS.some((name) => Object.hasOwn(json, name))) refuse("a secret");
  requirePublicKeys(json.jwks);
  const authMethod =
    json.token_endpoint_auth_method === undefined ? null : textOf(json.token_endpoint_auth_method);
  if (authMethod !== null && SHARED_SECRETS.includes(authMethod)) refuse("token_endpoint_auth_method");
  for (const uri of listOf(json.redirect_uris) ?? []) if (URL.parse(uri) === null) refuse("redirect_uris");
  return {
    clientId: url,
    spiffeId: parsePattern(textOf(json.spiffe_id)),
    authMethod,
    grantTypes: listOf(json.grant_types),
  };
}

/**
 * Refuses a document of another client, or one that does not want to be used like this.
 *
 * @throws TrustWardenError `client_document_refused`.
 */
export function requireClientOf(
  document: ClientDocument,
  used: { readonly spiffeId: SpiffeId; readonly method: string; readonly grantType: string | undefined },
): void {
  const { spiffeId, authMethod, grantTypes } = document;
  const isIts =
    spiffeId.kind === "exact" ? used.spiffeId === spiffeId.value : used.spiffeId.startsWith(spiffeId.value);
  if (!isIts) refuse("spiffe_id");
  if (authMethod !== null && authMethod !== used.method) refuse("token_endpoint_auth_method");
  if (used.grantType !== undefined && grantTypes?.includes(used.grantType) === false) refuse("grant_types");
}

/** Whole segments: `/client/*` is no `/client123`. */
function parsePattern(text: string): ClientDocument["spiffeId"] {
  const isPrefix = text.endsWith("/*");
  try {
    const id = parseSpiffeId(isPrefix ? text.slice(0, -2) : text);
    return isPrefix ? { kind: "prefix", value: `${id}/` } : { kind: "exact", value: id };
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    return refuse("spiffe_id");
  }
}

/** A document with a private key has told it to everybody. */
function requirePublicKeys(jwks: Json | undefined): void {
  if (jwks === undefined) return;
  const keys = isJsonObject(jwks) ? jwks.keys : undefined;
  const list: readonly Json[] = Array.isArray(keys) && keys.length <= MAX_LIST ? keys : refuse("jwks");
  const isPublic = (key: Json) =>
    isJsonObject(key) && !PRIVATE_KEY_MEMBERS.some((name) => Object.hasOwn(key, name));
  if (!list.every(isPublic)) refuse("jwks");
}

function listOf(value: Json | undefined): readonly string[] | null {
  if (value === undefined) return null;
  return Array.isArray(value) && value.length <= MAX_LIST ? value.map(textOf) : refuse("list");
}

function textOf(value: Json | undefined): string {
  return typeof value === "string" && value.length <= MAX_TEXT_CHARS ? value : refuse("member");
}

function refuse(reason: string): never {
  throw new TrustWardenError("client_document_refused", { reason });
}
