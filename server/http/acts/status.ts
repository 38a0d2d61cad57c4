/** What an operator sees of the server itself. */
import type { StatusAnswer } from "@trustwarden/core/api/ledger.ts";
import type { RawAnswer } from "../route.ts";
import type { Services } from "../services.ts";

export async function readStatus(services: Services): Promise<StatusAnswer> {
  const { ledger, policy, reads } = services;
  const counts = reads.counts();
  const urls = services.urls();
  const { witnessedSize } = ledger;
  return {
    version: services.version,
    trust_domain: services.trustDomain,
    uptime_seconds: Math.floor((services.clock.monoMs() - services.startedMonoMs) / 1000),
    epoch: reads.epoch(),
    owners: counts.owners,
    agents: counts.agents,
    live_instances: counts.liveInstances,
    verifiers: services.feed.leases,
    ledger: {
      origin: ledger.origin,
      vkey: ledger.log.vkey,
      size: ledger.log.size,
      indexed_size: services.indexedSize(),
      witnessed: witnessedSize !== null,
      witnessed_size: witnessedSize,
    },
    policy: { name: policy.engine.policy.name, bundle_sha256: policy.engine.policy.bundleSha256 },
    server_url: urls.server,
    stop_url: urls.stop,
    authorities_sha256: services.authority().authoritiesSha256,
  };
}

/** The document is generated from the same schemas that every request is parsed by. */
export async function readOpenApi({ openApi }: Services): Promise<RawAnswer> {
  return {
    isRaw: true,
    contentType: "application/json; charset=utf-8",
    cacheControl: "no-store",
    content: await openApi(),
  };
}
