/** The secrets broker, and what uses its secrets in the server's own name: made and started together. */
import { createSafeFetch } from "./attest/safe-fetch.ts";
import { type BrokerParts, createBroker } from "./broker/create-broker.ts";
import { createDatabaseRoles } from "./gateway/postgresql/create-database-roles.ts";
import type { Services } from "./http/services.ts";
import type { Cleanup } from "./parts.ts";
import type { ServerIdentity } from "./server-identity.ts";

type Brokers = Pick<Services, "broker" | "databaseRoles">;

/** Neither has been started; see `startBrokers`. */
export function createBrokers(
  made: Omit<BrokerParts, "openFetch" | "identity"> &
    Pick<Services, "gateway" | "ledger" | "clock" | "random" | "log"> & {
      readonly identity: Pick<ServerIdentity, "current">;
    },
): Brokers {
  const { gateway, ledger, clock, random, log, store, identity } = made;
  const broker = createBroker({ ...made, openFetch: createSafeFetch });
  const own = { gateway, broker, ledger, clock, random, log, reads: store.reads };
  return {
    broker,
    databaseRoles: createDatabaseRoles({ ...own, serverSvid: () => identity.current() }),
  };
}

/** Roles of databases are made and dropped with a secret of the broker, so they end before it. */
export async function startBrokers({ broker, databaseRoles }: Brokers, cleanups: Cleanup[]): Promise<void> {
  await broker.start();
  cleanups.push(() => broker.close());
  databaseRoles.start();
  cleanups.push(() => databaseRoles.close());
}
