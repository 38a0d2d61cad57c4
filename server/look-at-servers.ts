/**
 * What servers that share a store leave where all of them meet, for whoever looks after them: who of them lives, by whose clock,
 * and whether a notice comes through. Reads only; over NATS it sends one message that no server looks for.
 */
import { setTimeout } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import type { NatsSettings } from "./nats/config.ts";
import { readPrivateFile } from "./signer/private-file.ts";
import { connectPostgres } from "./store/postgres-connect.ts";
import { type LoginSettings, openPostgresLogin } from "./store/postgres-login.ts";
import { REPLICA_SESSION } from "./store/postgres-state/protocol.ts";
import { WINDOW_SINCE } from "./store/postgres-state/window-schema.ts";

const TIMEOUT_MS = 5000;
const STORE = `select s.holder, s.schema_version, (to_jsonb(s) ->> 'tables_version')::int as tables_version, extract(epoch from clock_timestamp())::float8 * 1000 as now_ms,
    (select coalesce(max(epoch), 0)::int from trustwarden_state.feed) as epoch,
    (select count(*)::int from trustwarden_state.outbox) as owed
  from trustwarden_state_log.store s`;
// A server beats ten times a second; one that was silent for longer has ended, or is cut off.
const SERVERS = `select acked::int as acked, leases, coalesce((to_jsonb(r) ->> 'knows')::int, ${WINDOW_SINCE - 1}) as knows
  from trustwarden_state_log.replicas r where seen_at > now() - interval '3 seconds'`;
const PROGRAMS = `select substr(application_name, ${REPLICA_SESSION.length + 2}) as version from pg_stat_activity
  where datname = current_database() and application_name like '${REPLICA_SESSION} %' order by 1`;

/** Who meets in a database. */
export interface SeenServers {
  /** Whether its tables are set up for several. */
  readonly isShared: boolean;
  /** By how many milliseconds the database's clock is ahead of this one, as of the middle between question and answer. */
  readonly apartMs: number;
  readonly epoch: number;
  /** Events that the ledger is owed. */
  readonly owed: number;
  readonly servers: readonly SeenServer[];
  /** The least that a server has to know of the tables, and what they have; they differ while an update is under way. */
  readonly store: { readonly settled: number; readonly tables: number };
  /** Of the servers' program, one for each that is connected and says it. */
  readonly programs: readonly string[];
}

/** One of them. */
interface SeenServer {
  readonly acked: number;
  readonly leases: number;
  /** Version of the tables that it works with. */
  readonly knows: number;
}

/**
 * @param nowMs - of this machine, Unix milliseconds.
 * @throws TrustWardenError `config_invalid`, `file_mode_too_open`; and what the driver throws.
 */
export async function lookAtServers(login: LoginSettings, nowMs: () => number): Promise<SeenServers> {
  const client = await connectPostgres(openPostgresLogin(login, "state.postgres", readPrivateFile), {
    name: "trustwarden-doctor",
    statementTimeoutMs: TIMEOUT_MS,
    connectTimeoutMs: TIMEOUT_MS,
    settings: { search_path: "" },
  });
  try {
    const askedMs = nowMs();
    const [store = {}] = (await client.query<Readonly<Record<string, unknown>>>(STORE)).rows;
    const ownMs = (askedMs + nowMs()) / 2;
    const { rows } = await client.query<Readonly<Record<string, unknown>>>(SERVERS);
    const programs = await client.query<Readonly<Record<string, unknown>>>(PROGRAMS);
    const settled = Number(store.schema_version);
    return {
      isShared: store.holder === "replicas",
      apartMs: Number(store.now_ms) - ownMs,
      epoch: Number(store.epoch),
      owed: Number(store.owed),
      servers: rows.map(({ acked, leases, knows }) => ({
        acked: Number(acked),
        leases: Number(leases),
        knows: Number(knows),
      })),
      store: { settled, tables: Number(store.tables_version ?? settled) },
      programs: programs.rows.map(({ version }) => String(version)),
    };
  } finally {
    await client.end();
  }
}

/** Has a message come back. @throws what the driver throws, and Error when none came. */
export async function sendThroughNats(settings: NatsSettings): Promise<void> {
  const { connectNats } = await import("./nats/connect-nats.ts");
  const sender = await connectNats(settings, "trustwarden-doctor");
  try {
    // Another one: none hears what it says itself.
    const receiver = await connectNats(settings, "trustwarden-doctor-ear");
    await passOne(settings.subject, { sender, receiver }).finally(() => receiver.close());
  } finally {
    await sender.close();
  }
}

async function passOne(
  subject: string,
  { sender, receiver }: { readonly sender: NatsConnection; readonly receiver: NatsConnection },
): Promise<void> {
  const heard = Promise.withResolvers<void>();
  receiver.subscribe(`${subject}.doctor`, {
    callback: (error) => (error === null ? heard.resolve() : heard.reject(error)),
  });
  // A refusal of the subscription may come before the answer.
  await Promise.race([receiver.flush(), heard.promise]);
  sender.publish(`${subject}.doctor`);
  const late = setTimeout(TIMEOUT_MS, undefined, { ref: false }).then(() => {
    throw new Error("no message came through");
  });
  await Promise.race([heard.promise, late]);
}
