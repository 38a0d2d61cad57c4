/**
 * A server's word with the others that share its store: it beats, and hears what they have acknowledged.
 *
 * A session of its own, beside the writer's, in the thread that gives the leases. Nothing here is retried in place: a beat
 * that fails gives nothing, and the next one goes over a new connection.
 *
 * @see core/revocation/replica-leases.ts; docs/decisions/0053
 */
import { setTimeout } from "node:timers/promises";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Notices } from "@trustwarden/core/notices.ts";
import { LEASE_MS } from "@trustwarden/core/revocation/frames.ts";
import type { HeardBeat } from "@trustwarden/core/revocation/replica-leases.ts";
import type { Client } from "pg";
import { latestVersion, MIGRATIONS } from "../migrations/steps.ts";
import { connectPostgres, type PostgresLogin } from "../postgres-connect.ts";
import { REPLICA_SESSION, SHARERS } from "./protocol.ts";

/** Twice as often as a verifier beats: what is left of this is all that verifiers get. */
const BEAT_MS = 100;
/** An answer that takes longer is worth nothing. */
const ANSWER_MS = 2 * LEASE_MS;
const BEAT = "select trustwarden_state_log.beat($1, $2, $3, $4)";
const OWN_VERSION = latestVersion(MIGRATIONS);
// Asked for after the beat is kept, in a statement of its own: what it does not tell was committed later.
const ASK = `select s.holder, (select coalesce(max(epoch), 0)::int from trustwarden_state.feed) as epoch,
    r.name, r.beats::int as beats, r.acked::int as acked, r.leases
  from trustwarden_state_log.store s, trustwarden_state_log.replicas r`;
const CHANNEL = "trustwarden_replicas";

/** What a server tells with each beat. */
export interface OwnBeat {
  readonly acked: number;
  readonly leases: number;
}

export interface ReplicaSessionOptions {
  /** Asked for at each connection: a password may have changed. */
  readonly login: () => PostgresLogin;
  /** Of this process alone. */
  readonly name: string;
  /** Of this server's program, for whoever looks after several: the database shows it beside the session. */
  readonly version: string;
  /** Monotonic milliseconds. */
  readonly monoMs: () => number;
  readonly own: () => OwnBeat;
  readonly onHeard: (heard: HeardBeat) => void;
  /** By which the others are told that more is acknowledged; the database tells them without it. */
  readonly notices?: Notices | undefined;
}

/** Owns the connection and the loop. At most one beat is under way. */
export class ReplicaSession {
  readonly #options: ReplicaSessionOptions;
  readonly #running: Promise<void>;
  #client: Client | undefined;
  #wait = new AbortController();
  #isHurried = false;
  #isClosed = false;
  #told = -1;

  constructor(options: ReplicaSessionOptions) {
    this.#options = options;
    options.notices?.watch("replicas", () => this.beatNow());
    this.#running = this.#run();
  }

  /** Beats at once: there is something to say, or to hear. */
  beatNow(): void {
    this.#isHurried = true;
    this.#wait.abort();
  }

  /** Falls silent. Nobody is told: verifiers keep what they were given, and so the others go on waiting for it to run out. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.beatNow();
    await this.#running;
    await this.#drop();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      this.#isHurried = false;
      try {
        await this.#beat(await this.#connected());
      } catch {
        // Safe: without an answer nothing is given, and what was given runs out.
        await this.#drop();
      }
      await this.#pause();
    }
  }

  async #beat(client: Client): Promise<void> {
    const { name, monoMs, own, onHeard } = this.#options;
    const sentAtMs = monoMs();
    const { acked, leases } = own();
    await client.query(BEAT, [name, acked, leases, OWN_VERSION]);
    this.#tell(acked);
    const { rows } = await client.query<Readonly<Record<string, unknown>>>(ASK);
    const [first] = rows;
    // A server that has taken the store for itself alone waits for no lease of ours.
    if (first?.holder !== SHARERS) throw new TrustWardenError("state_fenced");
    const all = rows.map((row) => ({
      name: String(row.name),
      beats: Number(row.beats),
      acked: Number(row.acked),
      leases: Number(row.leases),
    }));
    onHeard({ sentAtMs, epoch: Number(first.epoch), others: all.filter((other) => other.name !== name) });
  }

  /** Whoever waits for what is acknowledged looks when more is; the database says it of the same beats. */
  #tell(acked: number): void {
    if (acked <= this.#told) return;
    this.#told = acked;
    this.#options.notices?.tell("replicas");
  }

  async #connected(): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    const client = await connectPostgres(this.#options.login(), {
      name: `${REPLICA_SESSION} ${this.#options.version}`,
      statementTimeoutMs: LEASE_MS,
      answerTimeoutMs: ANSWER_MS,
      settings: { search_path: "" },
    });
    if (this.#options.notices === undefined) {
      client.on("notification", () => this.beatNow());
      await client.query(`listen ${CHANNEL}`);
    }
    this.#client = client;
    return client;
  }

  async #drop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  async #pause(): Promise<void> {
    if (this.#isHurried || this.#isClosed) return;
    this.#wait = new AbortController();
    await setTimeout(BEAT_MS, undefined, { signal: this.#wait.signal }).catch(() => undefined);
  }
}
