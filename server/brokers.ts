/** The secrets broker, and what uses its secrets in the server's own name: made and started together. */
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createSafeFetch } from "./attest/safe-fetch.ts";
import { type BrokerParts, createBroker } from "./broker/create-broker.ts";
import type { ServerConfig } from "./config.ts";
import { createDatabaseRoles } from "./gateway/postgresql/create-database-roles.ts";
import type { Services } from "./http/services.ts";
import { observeBroker } from "./metrics/observe.ts";
import type { Cleanup, Parts } from "./parts.ts";
import { Erasures } from "./payloads/erasures.ts";
import { PayloadStore } from "./payloads/payload-store.ts";
import type { ServerIdentity } from "./server-identity.ts";
import { SharedSecretKeys } from "./shared/shared-secret-keys.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "./signer/software.ts";
import type { StoreReads } from "./store/ports.ts";

type Brokers = Pick<Services, "broker" | "databaseRoles" | "payloads" | "erasures">;

/** Neither has been started; see `startBrokers`. */
export function createBrokers(
  made: Omit<BrokerParts, "openFetch" | "createKey" | "identity" | "payloads" | "keysOfAll" | "shared"> &
    Pick<Parts, "keys" | "shared"> &
    Pick<Services, "sharing" | "gateway" | "ledger" | "clock" | "random" | "log" | "meter"> & {
      readonly identity: Pick<ServerIdentity, "current">;
      readonly config: Pick<ServerConfig, "dataDir" | "payloads">;
    },
): Brokers {
  const { gateway, ledger, clock, random, log, store, identity } = made;
  const keysOfAll = shareKeys(made, () => payloads.keyId());
  const payloads = new PayloadStore({
    directory: join(made.config.dataDir, "payloads"),
    keys: keysOfAll ?? made.keys.secretKeys,
    random,
    nowMs: () => clock.nowMs(),
    deployment: () => identity.current().spiffeId,
  });
  const createKey = () => createSoftwareSigner(createPrivateKeyPkcs8("ES256"));
  const parts = { ...made, payloads, keysOfAll, createKey, openFetch: createSafeFetch };
  const broker = observeBroker(made.meter, createBroker(parts));
  const { sharing } = made;
  const own = { gateway, broker, ledger, clock, random, log, sharing, reads: store.reads };
  return {
    broker,
    payloads,
    erasures: new Erasures({
      payloads,
      record: (events, context) => ledger.recordControls(events, context),
      epoch: () => store.reads.epoch(),
      nowMs: () => clock.nowMs(),
      trustedMs: () => clock.trustedMs(),
      self: () => identity.current().spiffeId,
      retentionDays: made.config.payloads.retentionDays ?? null,
      onFailure: (error) =>
        log.warn({ code: codeOf(error) }, "what was kept for long enough is not erased yet"),
    }),
    databaseRoles: createDatabaseRoles({
      ...own,
      serverSvid: () => identity.current(),
      isTending: () => made.shared?.duties.isSeated === true,
    }),
  };
}

/** Null for a server alone, whose keys are its own. */
function shareKeys(
  {
    keys,
    shared,
    sharing,
    store,
  }: Pick<Parts, "keys" | "shared"> &
    Pick<Services, "sharing"> & { readonly store: { readonly reads: Pick<StoreReads, "listSecrets"> } },
  keptUnder: () => string | null,
): SharedSecretKeys | null {
  if (shared === null) return null;
  return new SharedSecretKeys({
    own: keys.secretKeys,
    notes: shared.notes,
    catchUp: () => sharing.catchUp(),
    isUsed: (id) =>
      keptUnder() === id ||
      store.reads.listSecrets().some(({ versions }) => versions.some(({ keyId }) => keyId === id)),
  });
}

function codeOf(error: unknown): string {
  return error instanceof TrustWardenError ? error.code : "internal";
}

/** Roles of databases are made and dropped with a secret of the broker, so they end before it. */
export async function startBrokers(
  { broker, databaseRoles, erasures }: Pick<Brokers, "broker" | "databaseRoles" | "erasures">,
  cleanups: Cleanup[],
): Promise<void> {
  await broker.start();
  cleanups.push(() => broker.close());
  await erasures.start();
  cleanups.push(() => erasures.close());
  databaseRoles.start();
  cleanups.push(() => databaseRoles.close());
}
