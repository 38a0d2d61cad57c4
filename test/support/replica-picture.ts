/**
 * Who holds what of two servers that share a store, at one instant: for whoever finds that nobody decides. Looks only, past the
 * links of the test, and says of each part that it cannot be had why.
 */
import { send } from "./http.ts";
import type { TwoReplicas } from "./replicas.ts";

/** Whoever does not answer in that time is part of the picture. */
const MAX_LOOK_MS = 3000;

const QUESTIONS = {
  store: "select schema_version, version, epoch, holder from trustwarden_state_log.store",
  servers: `select left(name, 8) as name, beats::int, acked::int, leases,
      extract(epoch from now() - seen_at)::float8 as silent_s from trustwarden_state_log.replicas`,
  appends: `select count(*) filter (where not is_answered)::int as waiting,
      extract(epoch from clock_timestamp() - min(asked_at) filter (where not is_answered))::float8 as oldest_s,
      count(*) filter (where is_answered)::int as answered from trustwarden_state_log.appends`,
  owed: "select count(*)::int as rows from trustwarden_state.outbox",
  seat: "select epoch, size from trustwarden_ledger.log",
  sessions: `select a.pid, a.application_name as name, a.state, a.wait_event as waits_for, a.client_port as port,
      extract(epoch from clock_timestamp() - a.state_change)::float8 as since_s, left(a.query, 60) as query,
      (select string_agg(l.mode || case when l.granted then '' else ' wanted' end, ', ') from pg_locks l
        where l.pid = a.pid and l.locktype = 'advisory') as advisory
    from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() order by a.application_name`,
};

/** A line each: what the database says of who holds it, and what each server says of itself. */
export async function pictureOf({ state, replicas, database }: TwoReplicas): Promise<string> {
  const asked = Object.entries(QUESTIONS).map(([name, sql]) =>
    within(state.postgresql.admin(sql, database)).then((rows) => [name, ...linesOf(rows)].join("\n  ")),
  );
  const servers = replicas.map(async (replica, at) => {
    const name = `server ${at}: ${replica.isListening ? "listens" : "is down"}`;
    if (!replica.isListening) return name;
    const server = await within(replica.up());
    const health = "url" in server ? await within(send(server.url, { target: "/healthz" })) : server;
    return `${name}, health ${JSON.stringify(health)}`;
  });
  const errors = replicas.map((replica, at) => `errors of server ${at}: ${replica.errors().slice(-2000)}`);
  return [new Date().toISOString(), ...(await Promise.all([...asked, ...servers])), ...errors].join("\n");
}

const linesOf = (rows: object): readonly string[] => Object.values(rows).map((row) => JSON.stringify(row));

async function within<T extends object>(asked: Promise<T>): Promise<T | { readonly failed: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<{ readonly failed: string }>((resolve) => {
    timer = setTimeout(resolve, MAX_LOOK_MS, { failed: "no answer" });
  });
  const failed = asked.catch((error: unknown) => ({ failed: String(error) }));
  return await Promise.race([failed, late]).finally(() => clearTimeout(timer));
}
