/**
 * The text values that carry enrolment between processes: `tw1.` a ticket with the server to use it at, `twj1.` a join
 * token of a node with the same, `twr1.` a child's request to its parent, `twg1.` the parent's grant. Each is a prefix and the base64url of canonical JSON.
 *
 * A ticket and a grant pin the trust domain's authorities: the holder speaks to nobody who cannot show a chain to
 * them. Nothing here is proven; the documents inside are verified by the server (`enrolment.ts`).
 */
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "../json.ts";
import type { Scope } from "../scope.ts";
import type { Limits } from "./delegation.ts";
import { formatLimits, limitsOf } from "./enrolment.ts";
import { type MalformedCode, readLimits, readScope, readTtlSeconds } from "./enrolment-members.ts";
import { parseAgentName } from "./names.ts";

const TICKET_PREFIX = "tw1.";
const JOIN_PREFIX = "twj1.";
const REQUEST_PREFIX = "twr1.";
const GRANT_PREFIX = "twg1.";
/** One envelope of the largest size, and its surroundings. */
const MAX_VALUE_CHARS = 131_072;
const MAX_DOCUMENT_CHARS = 65_535;
/** An https origin and nothing else: no user, path or query that a client could be led astray with. */
const SERVER_URL =
  /^https:\/\/(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?$/;

/** Where an enrolment document is to be used. */
export interface ServerReference {
  /** base64url SHA-256 over the trust domain's authorities (`digestOfAuthorities`). */
  readonly authoritiesSha256: string;
  /** https origin. */
  readonly server: string;
}

/** What a `TRUSTWARDEN_TICKET` says. */
export interface TicketValue extends ServerReference {
  /** Envelope text of a ticket or verifier ticket. */
  readonly ticket: string;
}

/** What `warden node --join-token` is given. */
export interface JoinTokenValue extends ServerReference {
  /** base64url of 32 random bytes; the server keeps only its digest. */
  readonly token: string;
}

/** What a parent hands to its child. */
export interface GrantValue extends ServerReference {
  /** Envelope text. */
  readonly grant: string;
}

/** What a child in another process asks of its parent. */
export interface RequestValue {
  readonly name: string;
  readonly scope: Scope;
  readonly ttlSeconds: number;
  readonly limits: Limits;
  /** RFC 7638 thumbprint of the child's key. */
  readonly thumbprint: string;
}

/** The `tw1.` text of a ticket. */
export function formatTicketValue({ authoritiesSha256, server, ticket }: TicketValue): string {
  return formatValue(TICKET_PREFIX, { authorities_sha256: authoritiesSha256, server, ticket });
}

/** @throws TrustWardenError `ticket_invalid`. */
export function parseTicketValue(text: string): TicketValue {
  const members = new Fields(parseValue(text, TICKET_PREFIX, "ticket_invalid"), "ticket_invalid");
  const reference = parseReference(members, "ticket_invalid");
  const value = { ...reference, ticket: members.text("ticket", { maxChars: MAX_DOCUMENT_CHARS }) };
  members.end();
  return value;
}

/** The `twj1.` text of a join token. */
export function formatJoinTokenValue({ authoritiesSha256, server, token }: JoinTokenValue): string {
  return formatValue(JOIN_PREFIX, { authorities_sha256: authoritiesSha256, server, token });
}

/** @throws TrustWardenError `join_token_invalid`. */
export function parseJoinTokenValue(text: string): JoinTokenValue {
  const members = new Fields(parseValue(text, JOIN_PREFIX, "join_token_invalid"), "join_token_invalid");
  const value = { ...parseReference(members, "join_token_invalid"), token: members.digest("token") };
  members.end();
  return value;
}

/** What a server keeps of a join token: base64url SHA-256 of its bytes. @throws TrustWardenError `base64_malformed`. */
export function digestOfJoinToken(token: string): string {
  return encodeBase64url(sha256(parseBase64url(token)));
}

/** The `twg1.` text of a grant. */
export function formatGrantValue({ authoritiesSha256, server, grant }: GrantValue): string {
  return formatValue(GRANT_PREFIX, { authorities_sha256: authoritiesSha256, grant, server });
}

/** @throws TrustWardenError `grant_invalid`. */
export function parseGrantValue(text: string): GrantValue {
  const members = new Fields(parseValue(text, GRANT_PREFIX, "grant_invalid"), "grant_invalid");
  const reference = parseReference(members, "grant_invalid");
  const value = { ...reference, grant: members.text("grant", { maxChars: MAX_DOCUMENT_CHARS }) };
  members.end();
  return value;
}

/** The `twr1.` text of a child's request. */
export function formatRequestValue(request: RequestValue): string {
  return formatValue(REQUEST_PREFIX, {
    limits: { ...formatLimits(request.limits) },
    name: request.name,
    scope: [...request.scope],
    thumbprint: request.thumbprint,
    ttl_seconds: request.ttlSeconds,
  });
}

/** @throws TrustWardenError `request_malformed`, `name_malformed`, `scope_malformed` or `ttl_malformed`. */
export function parseRequestValue(text: string): RequestValue {
  const members = new Fields(parseValue(text, REQUEST_PREFIX, "request_malformed"), "request_malformed");
  const value: RequestValue = {
    name: parseAgentName(members.text("name")),
    scope: readScope(members, "scope"),
    ttlSeconds: readTtlSeconds(members, "ttl_seconds"),
    limits: limitsOf(readLimits(members, "limits")),
    thumbprint: members.digest("thumbprint"),
  };
  members.end();
  return value;
}

function formatValue(prefix: string, json: JsonObject): string {
  return `${prefix}${encodeBase64url(encodeUtf8(formatCanonicalJson(json)))}`;
}

function parseValue(text: string, prefix: string, code: MalformedCode): JsonObject {
  if (text.length > MAX_VALUE_CHARS || !text.startsWith(prefix))
    throw new TrustWardenError(code, { field: "prefix" });
  try {
    const json = parseUtf8(parseBase64url(text.slice(prefix.length)));
    return parseJsonObject(json, MAX_VALUE_CHARS);
  } catch (cause) {
    throw new TrustWardenError(code, { field: "encoding" }, { cause });
  }
}

function parseReference(members: Fields, code: MalformedCode): ServerReference {
  const authoritiesSha256 = members.digest("authorities_sha256");
  const server = members.text("server");
  if (!SERVER_URL.test(server)) throw new TrustWardenError(code, { field: "server" });
  return { authoritiesSha256, server };
}
