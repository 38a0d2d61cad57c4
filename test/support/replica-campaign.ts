/**
 * Two servers that share store and ledger, each killed in the middle of work while clients go on at the other: nothing that
 * was promised is lost, doubled or contradicted, nothing is used twice, and no check fails.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { askDecision } from "./actors.ts";
import { auditAfterCrash, waitForBooks } from "./crash-audit.ts";
import { CrashClients } from "./crash-clients.ts";
import { send } from "./http.ts";
import { openReplicaServices, type ReplicaServices } from "./replica-services.ts";
import { type Replica, startReplicas, type TwoReplicas } from "./replicas.ts";

/** Load before a kill, and after the start of the next process. */
const MIN_WORK_MS = 1000;
const MAX_WORK_MS = 3000;
/** A server brings in within seconds what another died owing; a busy machine takes longer. */
const OWED_MS = 60_000;
/** Answered intents that are shown to the other server. */
const REPLAYS = 10;

interface Lane {
  readonly clients: CrashClients;
  /** The server that it asks first. */
  readonly first: number;
}

/** What a campaign saw. */
export interface ReplicaReport {
  readonly kills: number;
  readonly entries: number;
  readonly decisions: number;
  readonly certificates: number;
  readonly revocations: number;
  /** Answered intents that the other server refused. */
  readonly replays: number;
  /** From a kill to the next decision that anybody got, in milliseconds, for each kill. */
  readonly gapsMs: readonly number[];
}

/** Owns servers and clients. */
export class ReplicaCampaign {
  readonly #two: TwoReplicas;
  readonly #services: ReplicaServices;
  readonly #lanes: readonly Lane[];
  readonly #vkey: string;

  private constructor(made: {
    readonly two: TwoReplicas;
    readonly services: ReplicaServices;
    readonly lanes: readonly Lane[];
    readonly vkey: string;
  }) {
    this.#two = made.two;
    this.#services = made.services;
    this.#lanes = made.lanes;
    this.#vkey = made.vkey;
  }

  static async begin(): Promise<ReplicaCampaign> {
    const services = await openReplicaServices();
    const two = await startReplicas(services.settings);
    try {
      const servers = await Promise.all(two.replicas.map((replica) => replica.up()));
      const lanes: Lane[] = [];
      for (const [first, server] of servers.entries())
        lanes.push({ clients: await CrashClients.enrol(server, `owner-${first}`), first });
      const [server] = servers;
      if (server === undefined) throw new Error("two servers");
      const { text } = await send(server.url, { method: "GET", target: "/.well-known/trustwarden" });
      const { log_vkey: vkey }: { readonly log_vkey: string } = JSON.parse(text);
      await services.witness(server);
      return new ReplicaCampaign({ two, services, lanes, vkey });
    } catch (error) {
      await two.close();
      await services.close();
      throw error;
    }
  }

  /** Kills one server after the other, and audits what they left. @throws AssertionError for whatever does not hold. */
  async run(kills: number, random: () => number = Math.random): Promise<ReplicaReport> {
    const { replicas } = this.#two;
    let isOver = false;
    const work = this.#lanes.map((lane) => this.#work(lane, () => isOver));
    const gapsMs: number[] = [];
    for (let kill = 0; kill < kills; kill += 1) {
      await sleep(MIN_WORK_MS + random() * (MAX_WORK_MS - MIN_WORK_MS));
      const replica = replicas[kill % replicas.length];
      if (replica === undefined) throw new Error("two servers");
      const restarting = replica.restart();
      gapsMs.push(await this.#gap());
      await restarting;
    }
    await sleep(MIN_WORK_MS);
    isOver = true;
    const replays = await this.#replay();
    // What works goes on until its server is gone.
    for (const replica of replicas) await replica.restart();
    await Promise.all(work);
    return this.#audit({ kills, gapsMs, replays });
  }

  async end(): Promise<void> {
    await this.#two.close();
    await this.#services.close();
  }

  async #work({ clients, first }: Lane, isOver: () => boolean): Promise<void> {
    const { replicas } = this.#two;
    for (let turn = first; !isOver(); turn += 1) {
      const replica: Replica | undefined = replicas[turn % replicas.length];
      if (replica !== undefined) await clients.load(await replica.up());
    }
  }

  /** How long nobody gets a decision from now on. */
  async #gap(): Promise<number> {
    const fromMs = performance.now();
    const count = () => this.#lanes.reduce((sum, { clients }) => sum + clients.decisions.length, 0);
    const before = count();
    while (count() === before) await sleep(5);
    return performance.now() - fromMs;
  }

  /** What was answered is shown to both servers, and both refuse it. */
  async #replay(): Promise<number> {
    let replays = 0;
    for (const { clients } of this.#lanes) {
      for (const { agent, intent } of clients.replayable(Date.now()).slice(-REPLAYS)) {
        for (const replica of this.#two.replicas) {
          const server = await replica.up();
          const answer = await askDecision(server, { caller: clients.verifier, agent, intent });
          assert.equal(answer.status, 401, "an intent is used once");
          replays += 1;
        }
      }
    }
    return replays;
  }

  async #audit(seen: Pick<ReplicaReport, "kills" | "gapsMs" | "replays">): Promise<ReplicaReport> {
    const all = this.#lanes.map(({ clients }) => clients);
    for (const replica of this.#two.replicas) process.stderr.write(replica.errors());
    assert.deepEqual(
      all.flatMap(({ surprises }) => surprises),
      [],
      "no check fails, and nothing is answered that no correct server says",
    );
    let entries = 0;
    for (const replica of this.#two.replicas) {
      const server = await replica.up();
      await waitForBooks(server.home.dataDir, OWED_MS);
      for (const clients of all) {
        const books = await auditAfterCrash(server, {
          clients,
          vkey: this.#vkey,
          olderCheckpoint: undefined,
        });
        entries = books.entries.length;
      }
    }
    const sum = (count: (clients: CrashClients) => number) =>
      all.reduce((total, clients) => total + count(clients), 0);
    return {
      ...seen,
      entries,
      decisions: sum(({ decisions }) => decisions.length),
      certificates: sum(({ certificates }) => certificates.length),
      revocations: sum(({ revocations }) => revocations.length),
    };
  }
}
