/** The secrets broker, and what uses its secrets in the server's own name: made and started together. */
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createSafeFetch } from "./attest/safe-fetch.ts";
import { type BrokerParts, createBroker } from "./broker/create-broker.ts";
import type { ServerConfig } from "./config.ts";
import { createDatabaseRoles } from "./gateway/postgresql/create-database-roles.ts";
import type { Services } from "./http/services.ts";
import { observeBroker } from "./metrics/observe.ts";
import type { Cleanup } from "./parts.ts";
import { Erasures } from "./payloads/erasures.ts";
import { PayloadStore } from "./payloads/payload-store.ts";
import type { ServerIdentity } from "./server-identity.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "./signer/software.ts";

type Brokers = Pick<Services, "broker" | "databaseRoles" | "payloads" | "erasures">;

/** Neither has been started; see `startBrokers`. */
export function createBrokers(
  made: Omit<BrokerParts, "openFetch" | "createKey" | "identity" | "payloads"> &
    Pick<Services, "gateway" | "ledger" | "clock" | "random" | "log" | "meter"> & {
      readonly identity: Pick<ServerIdentity, "current">;
      readonly config: Pick<ServerConfig, "dataDir" | "payloads">;
    },
): Brokers {
  const { gateway, ledger, clock, random, log, store, identity } = made;
  const payloads = new PayloadStore({
    directory: join(made.config.dataDir, "payloads"),
    keys: made.keys.secretKeys,
    random,
    nowMs: () => clock.nowMs(),
    deployment: () => identity.current().spiffeId,
  });
  const createKey = () => createSoftwareSigner(createPrivateKeyPkcs8("ES256"));
  const parts = { ...made, payloads, createKey, openFetch: createSafeFetch };
  const broker = observeBroker(made.meter, createBroker(parts));
  const own = { gateway, broker, ledger, clock, random, log, reads: store.reads };
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
    databaseRoles: createDatabaseRoles({ ...own, serverSvid: () => identity.current() }),
  };
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
