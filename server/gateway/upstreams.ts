/**
 * What is registered behind the gateway: checked when it comes, held ready for each call.
 *
 * Owns the list in memory; it is that of the store after each change, made here or followed.
 */
import { isIP } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseA2aSettings } from "@trustwarden/core/gateway/a2a/settings.ts";
import { parseLlmSettings } from "@trustwarden/core/gateway/llm-settings.ts";
import { isAggregate, isMemberName, parseMemberNames } from "@trustwarden/core/gateway/mcp/aggregate.ts";
import { parseMcpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import { requireEgressSettings } from "@trustwarden/core/gateway/plan-egress.ts";
import { requireHttpSettings } from "@trustwarden/core/gateway/plan-http.ts";
import { parsePostgresqlSettings } from "@trustwarden/core/gateway/plan-postgresql.ts";
import type { UpstreamDescription } from "@trustwarden/core/gateway/upstream.ts";
import type { GatewayReads, UpstreamDocument, UpstreamState } from "../store/gateway-ports.ts";

const MAX_URL_CHARS = 2048;
/** Of the upstream that stands for every tunnel; its places are its settings. */
const EGRESS_URL = "egress:";
/** Origin and a plain base path; no user, query, fragment or trailing slash. */
const URL_FORM =
  /^(?<scheme>https?):\/\/(?<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::(?<port>[1-9][0-9]{0,4}))?(?<path>(?:\/[A-Za-z0-9._~-]+)*)$/;
const MAX_PORT = 65_535;
/** A server and one of its databases; user and password are the broker's. */
const POSTGRESQL_URL =
  /^postgresql:\/\/(?<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::(?<port>[1-9][0-9]{0,4}))?\/[A-Za-z0-9_-]{1,63}$/;

/** Registered upstreams by name. */
export class Upstreams {
  readonly #reads: GatewayReads;
  #known = new Map<string, UpstreamState>();

  constructor(reads: GatewayReads) {
    this.#reads = reads;
    this.reload();
  }

  /**
   * Reads the store again; after each change. What has not changed stays the same object, so that its calls go on.
   *
   * @returns names of what is another registration now, or none.
   */
  reload(): ReadonlySet<string> {
    const before = this.#known;
    const read = this.#reads.listUpstreams();
    const own = read.map((upstream) => (isEndpoint(upstream) ? upstream : this.#same(upstream)));
    this.#known = new Map(
      own.map((upstream) => [
        upstream.name,
        isEndpoint(upstream) ? this.#same(withMembers(upstream, own)) : upstream,
      ]),
    );
    const names = new Set([...before.keys(), ...this.#known.keys()]);
    return new Set([...names].filter((name) => before.get(name) !== this.#known.get(name)));
  }

  #same(upstream: UpstreamState): UpstreamState {
    const known = this.#known.get(upstream.name);
    return known !== undefined && isDeepStrictEqual(known, upstream) ? known : upstream;
  }

  list(): readonly UpstreamState[] {
    return [...this.#known.values()];
  }

  /** @throws TrustWardenError `upstream_unknown`. */
  find(name: string): UpstreamState {
    const found = this.#known.get(name);
    if (found === undefined) throw new TrustWardenError("upstream_unknown");
    return found;
  }

  /** The one that stands for tunnels. @throws TrustWardenError `upstream_unknown`: by default there is none. */
  findEgress(): UpstreamState {
    const found = this.list().find(({ kind }) => kind === "egress");
    if (found === undefined) throw new TrustWardenError("upstream_unknown");
    return found;
  }

  /**
   * Asked in the step in which a call begins: from there on a change cuts it.
   *
   * @throws TrustWardenError `call_cut` for a registration that is no more, or another one by now.
   */
  requireCurrent(upstream: UpstreamState): void {
    if (!this.isCurrent(upstream)) throw new TrustWardenError("call_cut", { upstream: upstream.name });
  }

  /** Whether the very registration that a call began with is still in force. */
  isCurrent(upstream: UpstreamState): boolean {
    return this.#known.get(upstream.name) === upstream;
  }
}

/**
 * An endpoint that stands for others, with those: a change of one of them is a change of it, and cuts its calls. One that
 * is named and not there is left out.
 */
function withMembers(upstream: UpstreamState, all: readonly UpstreamState[]): UpstreamState {
  const names = parseMemberNames(upstream.settings);
  const members = all.filter(
    (other) =>
      other.kind === "mcp" &&
      !isAggregate(other.settings) &&
      isMemberName(other.name) &&
      (names === "*" || names.includes(other.name)),
  );
  const settings = { members: Object.fromEntries(members.map((member) => [member.name, member.settings])) };
  return { ...upstream, settings, members };
}

function isEndpoint({ kind, settings }: UpstreamDocument): boolean {
  return kind === "mcp" && isAggregate(settings);
}

/** What agents are told of an upstream. */
export function describeUpstream({ name, kind, url, settings }: UpstreamState): UpstreamDescription {
  const known = descriptions.get(settings);
  if (known !== undefined) return known;
  const description = { name, kind, resource: url, settings };
  descriptions.set(settings, description);
  return description;
}
const descriptions = new WeakMap<object, UpstreamDescription>();

/**
 * Refuses a registration that could never be called, or that would be read in two ways.
 *
 * @throws TrustWardenError `upstream_malformed`, `config_invalid` for a route table.
 */
export function requireSoundUpstream(upstream: UpstreamDocument): void {
  const { kind, url, allowPrivate, settings, secret } = upstream;
  if (isEndpoint(upstream)) {
    requireEndpoint(upstream);
    return;
  }
  if (kind !== "egress" && kind !== "postgresql" && !isStarted(upstream)) requireUrl(url, allowPrivate);
  switch (kind) {
    case "egress":
      // Nothing is seen inside a tunnel, so nothing can be put in or taken out.
      if (url !== EGRESS_URL || secret !== null) refuse("url: egress:, and no secret");
      requireEgressSettings(settings);
      return;
    case "http":
      requireHttpSettings(settings);
      return;
    case "mcp":
      // What stands in a settings file is read by agents, so no secret goes to a program that they could name.
      if (isStarted(upstream) && secret !== null) refuse("secret");
      parseMcpSettings(settings);
      return;
    case "openai":
    case "anthropic":
      parseLlmSettings(settings);
      return;
    case "postgresql":
      requirePostgresqlUrl(url);
      // Without one there is nobody who could make a role.
      if (secret === null) refuse("secret");
      parsePostgresqlSettings(settings);
      return;
    case "a2a":
      parseA2aSettings(settings);
      return;
  }
}

/** It has no address and no secret of its own. */
function requireEndpoint({ name, url, secret, settings }: UpstreamDocument): void {
  if (url !== `mcp://${name}` || secret !== null) refuse("url: mcp://<name>, and no secret");
  parseMemberNames(settings);
}

/** A program that the gateway starts has no address; its URL only says that. */
function isStarted({ name, kind, url, settings }: UpstreamDocument): boolean {
  if (kind !== "mcp" || parseMcpSettings(settings).launch === null) return false;
  if (url !== `stdio://${name}`) refuse("url: not stdio://<name>");
  return true;
}

function requireUrl(url: string, allowPrivate: boolean): void {
  const { scheme, host = "", port = "", path = "" } = URL_FORM.exec(url)?.groups ?? {};
  if (scheme === undefined || url.length > MAX_URL_CHARS || Number(port) > MAX_PORT) refuse("url");
  const isDotted = path.split("/").some((segment) => segment === "." || segment === "..");
  if (isDotted) refuse("url");
  // Without TLS only what no resolver can move elsewhere; secrets would go out in the clear otherwise.
  const isLoopback = host === "[::1]" || (isIP(host) === 4 && host.startsWith("127."));
  if (scheme === "http" && !(isLoopback && allowPrivate)) refuse("url: not https");
}

/** Whether the connection needs TLS is decided when it is made: always, but on this machine. */
function requirePostgresqlUrl(url: string): void {
  const { host, port = "" } = POSTGRESQL_URL.exec(url)?.groups ?? {};
  if (host === undefined || Number(port) > MAX_PORT)
    refuse("url: not postgresql://<host>[:<port>]/<database>");
}

function refuse(field: string): never {
  throw new TrustWardenError("upstream_malformed", { field });
}
