/**
 * Whom a service sends people to for a login, and what that authorization server can do.
 *
 * The service's word decides where a person types a password, so it is not enough: whoever runs the command says the
 * issuer too, and both documents have to be about what they were asked for.
 *
 * @see RFC 9728 §3.3, §5.1; RFC 8414 §3.3; MCP authorization, revision 2026-07-28, "Authorization Server Discovery"
 */
import { parseJsonObject } from "@trustwarden/core/json.ts";
import {
  type AuthorizationServer,
  processDiscoveryResponse,
  processResourceDiscoveryResponse,
  type ResourceServer,
} from "oauth4webapi";
import { explain, failed, load, parsePlace } from "./web.ts";

const JSON_ONLY = { headers: { accept: "application/json" } };
/** Changes nothing, and nobody without a token is answered. */
const LIST_TOOLS = {
  method: "POST",
  headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
  body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
};
const PARAMETER = /\b(resource_metadata|scope)="([^"]{0,2048})"/g;

/** What a service says of its logins. */
export interface Service {
  /** As tokens name it (RFC 8707). */
  readonly resource: string;
  readonly issuers: readonly string[];
  /** Asked for at the moment; null where nothing is said. */
  readonly scope: string | null;
}

/** @throws TrustWardenError `login_failed` with what is wrong with the documents. */
export async function discoverService(text: string): Promise<Service> {
  const place = parsePlace(text, "the resource");
  const challenge = await readChallenge(place);
  const where = challenge.get("resource_metadata");
  const documents =
    where === undefined ? wellKnownOf(place) : [parsePlace(where, "the resource's metadata").href];
  const found = await firstOf(documents, (answer) => readService(answer, place));
  if (found === null) throw failed("the service has no metadata that says where to log in");
  const scopes = found.scopes_supported?.join(" ") ?? null;
  return {
    resource: found.resource,
    issuers: found.authorization_servers ?? [],
    scope: challenge.get("scope") ?? scopes,
  };
}

/** @throws TrustWardenError `login_failed` with what is wrong with its metadata. */
export async function discoverIssuer(issuer: string): Promise<AuthorizationServer> {
  const place = parsePlace(issuer, "the issuer");
  const { origin, pathname } = place;
  const path = pathname === "/" ? "" : pathname.replace(/\/$/, "");
  const documents = [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}/.well-known/openid-configuration${path}`,
    ...(path === "" ? [] : [`${origin}${path}/.well-known/openid-configuration`]),
  ];
  const server = await firstOf(documents, (answer) => processDiscoveryResponse(place, answer));
  if (server === null) throw failed("the issuer has no metadata");
  // The library compares what parsers make of both; a standard compares characters (RFC 8414 §3.3).
  if (server.issuer !== issuer) throw failed("the issuer's metadata is another issuer's");
  for (const name of ["authorization_endpoint", "token_endpoint"] as const) {
    parsePlace(server[name] ?? "", `the issuer's ${name}`);
  }
  if (server.code_challenge_methods_supported?.includes("S256") !== true)
    throw failed("the issuer does not say that it checks codes by S256");
  return server;
}

/** Of the answer to somebody without a token; servers of MCP give it to those who post, and to nobody else. */
async function readChallenge({ href }: URL): Promise<ReadonlyMap<string, string>> {
  const got = await load(href, JSON_ONLY);
  const answer = [404, 405, 406].includes(got.status) ? await load(href, LIST_TOOLS) : got;
  if (answer.status !== 401) return new Map();
  const challenge = answer.headers.get("www-authenticate") ?? "";
  return new Map([...challenge.matchAll(PARAMETER)].map(([, name = "", value = ""]) => [name, value]));
}

/** RFC 9728 §3.1: the well-known part comes before the path; and of the whole origin. */
function wellKnownOf({ origin, pathname }: URL): readonly string[] {
  const root = `${origin}/.well-known/oauth-protected-resource`;
  return pathname === "/" ? [root] : [`${root}${pathname.replace(/\/$/, "")}`, root];
}

/** A service may name all of its origin, or what is above the place; never somebody else. */
async function readService(answer: Response, place: URL): Promise<ResourceServer> {
  const { resource } = parseJsonObject(await answer.clone().text());
  const named = typeof resource === "string" ? URL.parse(resource) : null;
  const isAbove =
    named !== null &&
    named.origin === place.origin &&
    `${place.pathname}/`.startsWith(`${named.pathname.replace(/\/$/, "")}/`);
  if (!isAbove || named === null) throw failed("the service's metadata is another resource's");
  return processResourceDiscoveryResponse(named, answer);
}

/** The first document that is there. What is there and wrong is not passed over for the next. */
async function firstOf<T>(
  urls: readonly string[],
  read: (answer: Response) => Promise<T>,
): Promise<T | null> {
  for (const url of urls) {
    const answer = await load(url, JSON_ONLY);
    if (answer.status !== 200) continue;
    try {
      return await read(answer);
    } catch (error) {
      throw explain(error, `${url} is not usable`);
    }
  }
  return null;
}
