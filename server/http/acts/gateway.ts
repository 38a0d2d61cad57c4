/** What is behind the gateway: registered by operators, read by agents. */
import {
  type GatewayAnswer,
  settingsOf,
  type UpstreamAnswer,
  type UpstreamList,
  type UpstreamPath,
  type UpstreamRemoval,
  type UpstreamRequest,
  upstreamSettings,
} from "@trustwarden/core/api/gateway.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { disclosureOf } from "@trustwarden/core/gateway/disclosure.ts";
import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import { followUpstreams } from "../../gateway/follow-others.ts";
import { describeUpstream, requireSoundUpstream } from "../../gateway/upstreams.ts";
import type { UpstreamChange, UpstreamDocument, UpstreamState } from "../../store/gateway-ports.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/**
 * Registers or replaces.
 *
 * @throws TrustWardenError `upstream_malformed`, `config_invalid`, `quota_exceeded`; `replica_refused` where calls would be kept on
 *   the disk of one of several servers.
 */
export async function setUpstream(
  services: Services,
  visit: Visit<UpstreamRequest>,
): Promise<UpstreamAnswer> {
  const { name, kind, url, ca, allow_private, secret, settings } = visit.body;
  const upstream: UpstreamDocument = {
    name: parseUpstreamName(name),
    kind,
    url,
    ca,
    allowPrivate: allow_private,
    secret,
    settings: settingsOf(settings),
  };
  requireSoundUpstream(upstream);
  if (services.sharing.isShared && disclosureOf(upstream) === "full")
    throw new TrustWardenError("replica_refused", { setting: "disclose" });
  await change(services, visit, { change: "set", upstream });
  return formatUpstream(services.gateway.upstreams.find(name));
}

/** Takes an upstream away; calls to it that are running are cut. @throws TrustWardenError `not_found`. */
export async function removeUpstream(
  services: Services,
  visit: Visit<unknown, unknown, UpstreamPath>,
): Promise<UpstreamRemoval> {
  const name = parseUpstreamName(visit.params.name);
  const callsCut = await change(services, visit, { change: "removal", name });
  return { name, calls_cut: callsCut };
}

/** Every upstream. */
export async function listUpstreams(services: Services): Promise<UpstreamList> {
  return { upstreams: services.gateway.upstreams.list().map(formatUpstream) };
}

/** What an agent needs to plan its calls. */
export async function readGateway({ gateway }: Services): Promise<GatewayAnswer> {
  const upstreams = gateway.upstreams.list().map(describeUpstream);
  return {
    url: gateway.url(),
    upstreams: upstreams.map(({ name, kind, resource, settings }) => ({
      name,
      kind,
      resource,
      settings: upstreamSettings.parse(settings),
    })),
  };
}

/** @returns how many running calls were cut, since they began under the registration of before. */
async function change(
  services: Services,
  visit: Pick<Visit, "caller" | "arrival">,
  changed: UpstreamChange,
): Promise<number> {
  const { upstreams } = services.gateway;
  const { name } = changed.change === "set" ? changed.upstream : changed;
  const before = upstreams.list().find((upstream) => upstream.name === name);
  const committed = await services.commands.changeUpstream({
    context: contextOf(services, visit),
    ...changed,
  });
  // Also where the registration is the same again: its pins and programs are not.
  services.mcp.catalogues.forget(name);
  services.mcp.stdio.end((caller) => caller.upstream !== name);
  const cut = followUpstreams(services);
  await services.ledger.settle(committed);
  await endRoles(services, before);
  return cut;
}

/** Roles of a database that is registered no more, or anew: while it is still known how to get there. */
async function endRoles(services: Services, before: UpstreamState | undefined): Promise<void> {
  const { gateway, databaseRoles, log } = services;
  if (before?.kind !== "postgresql" || gateway.upstreams.isCurrent(before)) return;
  try {
    await databaseRoles.endAll(before);
  } catch (error) {
    // Safe to go on: each role has its own end in the database, and who it was for is no longer served.
    if (!(error instanceof TrustWardenError)) throw error;
    log.warn({ code: error.code, upstream: before.name }, "roles of a database could not be ended");
  }
}

function formatUpstream(upstream: UpstreamState): UpstreamAnswer {
  const { name, kind, url, ca, allowPrivate, secret, changedAt, members } = upstream;
  // Of those that it stands for the names: each is listed by itself.
  const settings = members === undefined ? upstream.settings : { members: members.map((one) => one.name) };
  return {
    name,
    kind,
    url,
    ca,
    allow_private: allowPrivate,
    secret,
    settings: upstreamSettings.parse(settings),
    changed_at: changedAt,
  };
}
