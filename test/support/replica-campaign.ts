/**
 * Two servers that share store and ledger with all that goes with them (a sink, witnesses, people, OAuth, a receiver's stream,
 * steps of the authority), each killed in the middle of work while the network troubles both and clients go on at the other:
 * nothing that was promised is lost, doubled or contradicted, nothing is used twice, and no check fails.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { MIGRATIONS } from "../../server/store/migrations/steps.ts";
import { formatStateUpgrade } from "../../server/store/postgres-state/schema-text.ts";
import { askDecision } from "./actors.ts";
import { type Balancer, openBalancer } from "./balancer.ts";
import { auditAfterCrash, type Books, waitForBooks } from "./crash-audit.ts";
import { CrashClients } from "./crash-clients.ts";
import { freePort } from "./free-port.ts";
import { jsonOf, send } from "./http.ts";
import { type PartsReport, ReplicaParts } from "./replica-parts.ts";
import { pictureOf } from "./replica-picture.ts";
import { openReplicaServices, type ReplicaServices } from "./replica-services.ts";
import { type Replica, startReplicas, type TwoReplicas } from "./replicas.ts";

/** Load before a kill, and after the start of the next process. */
const MIN_WORK_MS = 500;
const MAX_WORK_MS = 3000;
/** A server brings in within seconds what another died owing; a busy machine takes longer. */
const OWED_MS = 60_000;
/** Answered intents that are shown to the other server. */
const REPLAYS = 10;
/** A link that is late, and loses one segment of two hundred. */
const LATE = { delayMs: 20, loss: 0.005 } as const;
/** Longer than a lease, or shorter. */
const MAX_PARTED_MS = 2500;
/** One start in so many is killed too, somewhere on its way. */
const DYING_STARTS = 8;
const MAX_START_MS = 3000;
/** A server that is cut off, or lost what was under way with the database, says so; the other is asked then. */
const CUT_OFF = /"(?:store|ledger)_unavailable"/;
const COSIGNERS = 2;
const POLL_MS = 100;
/** After so long without a decision it is said who holds what. */
const LONG_GAP_MS = 10_000;
/** Whoever waits so long for the other server has nobody. */
const MAX_GAP_MS = 120_000;

interface Lane {
  readonly clients: CrashClients;
  /** The server that it asks, or is waiting for. */
  at: number;
}

/** What a campaign saw. */
export interface ReplicaReport extends PartsReport {
  readonly kills: number;
  readonly entries: number;
  readonly decisions: number;
  readonly certificates: number;
  readonly revocations: number;
  /** Answered intents that the other server refused. */
  readonly replays: number;
  /** Questions that a server in trouble answered with 503. */
  readonly excused: number;
  /** Events that the sink was told of. */
  readonly sunk: number;
  /** From a kill to the next decision that anybody got, in milliseconds, for each kill. */
  readonly gapsMs: readonly number[];
}

type Trouble = "none" | "late" | "reset" | "parted" | "deaf";
const TROUBLES: readonly Trouble[] = ["none", "late", "reset", "parted", "deaf"];

/** What a campaign is held with. */
export interface CampaignOptions {
  /** `state.notices` of both. */
  readonly notices?: { readonly servers: readonly string[] };
  /** Whether links are late, reset and parted too. */
  readonly hasTroubles?: boolean;
  /** Whether each is in a network namespace of its own. */
  readonly hasNamespaces?: boolean;
  /** Of the version that both are until they are killed; its store, too, where that is older. */
  readonly from?: { readonly directory: string; readonly store: number };
  readonly random?: () => number;
}

interface Made extends Required<Pick<CampaignOptions, "hasTroubles" | "random">> {
  readonly two: TwoReplicas;
  readonly services: ReplicaServices;
  readonly balancer: Balancer;
  readonly lanes: readonly Lane[];
  readonly parts: ReplicaParts;
  readonly vkey: string;
}

/** Owns servers and clients. */
export class ReplicaCampaign {
  readonly #made: Made;
  #isOver = false;
  #working: Promise<unknown> = Promise.resolve();

  private constructor(made: Made) {
    this.#made = made;
  }

  static async begin({
    notices,
    hasTroubles = false,
    hasNamespaces = false,
    from,
    random = Math.random,
  }: CampaignOptions = {}): Promise<ReplicaCampaign> {
    const services = await openReplicaServices();
    const consolePorts = [await freePort(), await freePort()] as const;
    let replicas: readonly Replica[] = [];
    const balancer = await openBalancer(() => consolePorts.filter((_, at) => replicas[at]?.isListening));
    const origin = `http://localhost:${balancer.port}`;
    const settingsAt = (number: 0 | 1) => ({
      ...services.settings,
      console: { port: consolePorts[number], origin },
    });
    const out = [...services.ports, ...portsOf(notices)];
    const ways = hasNamespaces ? { out, own: consolePorts.map((port) => [port]) } : undefined;
    const two = await startReplicas(settingsAt, { notices, ways, root: from?.directory, store: from?.store });
    replicas = two.replicas;
    try {
      const servers = await Promise.all(two.replicas.map((replica) => replica.up()));
      const lanes: Lane[] = [];
      for (const [at, server] of servers.entries())
        lanes.push({ clients: await CrashClients.enrol(server, `owner-${at}`), at });
      if (hasTroubles) for (const { clients } of lanes) clients.expect(CUT_OFF);
      const [server] = servers;
      if (server === undefined) throw new Error("two servers");
      const { log_vkey: vkey } = jsonOf(await send(server.url, { target: "/.well-known/trustwarden" }));
      await services.witness(server);
      const parts = await ReplicaParts.begin({ replicas: two.replicas, consolePorts, origin });
      const made = { two, services, balancer, lanes, parts, vkey: String(vkey), hasTroubles, random };
      return new ReplicaCampaign(made);
    } catch (error) {
      await two.close();
      await balancer.close();
      await services.close();
      throw error;
    }
  }

  /** The tables get what this version's have beside those of the one before, whose servers work on. */
  async bringUp(from: number): Promise<void> {
    const { state, database } = this.#made.two;
    await state.postgresql.admin(`begin; ${formatStateUpgrade(MIGRATIONS, from)} commit;`, database);
  }

  /** Returns once the store is this version's alone: as if the last of the version before had been gone for a minute. */
  async settle(): Promise<void> {
    const { state, database } = this.#made.two;
    const say = (sql: string) => state.postgresql.admin(sql, database);
    await say("delete from trustwarden_state_log.replicas where knows is null");
    const untilMs = performance.now() + OWED_MS;
    for (;;) {
      const [store] = await say("select schema_version, tables_version from trustwarden_state_log.store");
      if (store?.schema_version === store?.tables_version) return;
      assert.ok(performance.now() < untilMs, "the store is settled");
      await sleep(POLL_MS);
    }
  }

  /** Why a server of that version does not start any more. */
  async refusalOf(root: string): Promise<string> {
    const [, last] = this.#made.two.replicas;
    await last.kill();
    last.use(root);
    const refused = await last.start().catch(String);
    return typeof refused === "string" ? refused : "it started";
  }

  /** Kills one server after the other, and audits what they left. @throws AssertionError for whatever does not hold. */
  async run(kills: number): Promise<ReplicaReport> {
    const { two, lanes, parts, random } = this.#made;
    const isOver = () => this.#isOver;
    const working = Promise.all([...lanes.map((lane) => this.#work(lane)), parts.work(isOver)]);
    // Whoever does not come to the end hears of something else first.
    this.#working = working.catch(() => undefined);
    const gapsMs: number[] = [];
    for (let kill = 0; kill < kills; kill += 1) {
      await sleep(MIN_WORK_MS + random() * (MAX_WORK_MS - MIN_WORK_MS));
      // Both at least once, then any of them.
      const at = kill < two.replicas.length ? kill : Math.floor(random() * two.replicas.length);
      const [doomed, other] = at === 0 ? two.replicas : two.replicas.toReversed();
      if (doomed === undefined || other === undefined) throw new Error("two servers");
      await this.#trouble(doomed, other);
      doomed.use();
      const dyingMs = kill % DYING_STARTS === DYING_STARTS - 1 ? random() * MAX_START_MS : undefined;
      const [gapMs] = await Promise.all([this.#gap(), doomed.restart(dyingMs)]);
      gapsMs.push(gapMs);
    }
    await sleep(MIN_WORK_MS);
    for (const replica of two.replicas) heal(replica);
    this.#leave();
    await working;
    const replays = await this.#replay();
    return this.#audit({ kills, gapsMs, replays });
  }

  /** Clients go before what they ask: those of a campaign that failed would take the processor from the next one. */
  async end(): Promise<void> {
    const { two, balancer, services } = this.#made;
    this.#leave();
    await two.close();
    await this.#working;
    await balancer.close();
    await services.close();
  }

  #leave(): void {
    this.#isOver = true;
    for (const { clients } of this.#made.lanes) clients.end();
  }

  /** What the network does before a server dies; of the one before, nothing is left but what it did. */
  async #trouble(doomed: Replica, other: Replica): Promise<void> {
    const { hasTroubles, random } = this.#made;
    if (!hasTroubles) return;
    for (const replica of [doomed, other]) heal(replica);
    const links = [doomed, other].flatMap(({ database, front }) => [database, front]);
    const trouble = TROUBLES[Math.floor(random() * TROUBLES.length)];
    switch (trouble) {
      case undefined:
      case "none":
        return;
      case "late":
        for (const link of links) link.weather(LATE);
        return;
      case "reset":
        for (const link of links) link.reset();
        return;
      case "parted":
      case "deaf":
        doomed.database.part(trouble === "deaf" ? "down" : undefined);
        await sleep(random() * MAX_PARTED_MS);
        doomed.database.heal();
        doomed.database.reset();
    }
  }

  async #work(lane: Lane): Promise<void> {
    const { replicas } = this.#made.two;
    for (; !this.#isOver; lane.at = (lane.at + 1) % replicas.length) {
      const replica: Replica | undefined = replicas[lane.at];
      if (replica !== undefined) await lane.clients.load(await replica.up());
    }
  }

  /** How long nobody gets a decision from now on. */
  async #gap(): Promise<number> {
    const { lanes } = this.#made;
    const fromMs = performance.now();
    const count = () => lanes.reduce((sum, { clients }) => sum + clients.decisions.length, 0);
    const before = count();
    let isShown = false;
    while (count() === before && !this.#isOver) {
      this.#requireNoneEnded();
      const isLong = performance.now() - fromMs > LONG_GAP_MS;
      if (isLong && !isShown) process.stderr.write(`${await this.#picture()}\n`);
      isShown = isLong;
      const surprises = lanes.flatMap(({ clients }) => clients.surprises);
      assert.ok(
        performance.now() - fromMs < MAX_GAP_MS,
        `the other server goes on deciding: ${surprises.slice(-5).join("; ")}`,
      );
      await sleep(5);
    }
    return performance.now() - fromMs;
  }

  /** Whoever is killed is started again; nobody else ends, whatever the network does. */
  #requireNoneEnded(): void {
    for (const { ended } of this.#made.two.replicas) assert.equal(ended, undefined);
  }

  /** Why nobody decides: who holds what, and what the clients wait for. */
  async #picture(): Promise<string> {
    const { two, lanes } = this.#made;
    const links = two.replicas.map(({ database, front }) => [database.connections, front.connections]);
    const waiting = lanes.map(({ clients, at }) => `asks server ${at}: ${clients.waiting.join(", ")}`);
    return [
      await pictureOf(two),
      `connections to the database and of clients: ${JSON.stringify(links)}`,
      ...waiting,
    ].join("\n");
  }

  /** What was answered is shown to both servers, and both refuse it. */
  async #replay(): Promise<number> {
    let replays = 0;
    for (const { clients } of this.#made.lanes) {
      for (const { agent, intent } of clients.replayable(Date.now()).slice(-REPLAYS)) {
        for (const replica of this.#made.two.replicas) {
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
    const { lanes, two, parts, vkey } = this.#made;
    const all = lanes.map(({ clients }) => clients);
    this.#requireNoneEnded();
    for (const replica of two.replicas) process.stderr.write(replica.errors());
    assert.deepEqual(
      all.flatMap(({ surprises }) => surprises),
      [],
      "no check fails, and nothing is answered that no correct server says",
    );
    const stopped = all.flatMap(({ revocations }) => revocations.map(({ agent }) => agent.answer.spiffe_id));
    const told = await parts.audit(stopped);
    const held = {
      certificates: all.flatMap(({ certificates }) => certificates),
      decisions: all.flatMap(({ decisions }) => decisions),
      outcomes: all.flatMap(({ outcomes }) => outcomes),
      revocations: all.flatMap(({ revocations }) => revocations),
    };
    let books: Books | undefined;
    for (const replica of two.replicas) {
      const server = await replica.up();
      await waitForBooks(server.home.dataDir, OWED_MS);
      books = await auditAfterCrash(server, { clients: held, vkey, olderCheckpoint: undefined });
    }
    if (books === undefined) throw new Error("two servers");
    const sunk = await this.#requireSunk(books);
    await this.#requireWitnessed(books);
    return {
      ...seen,
      ...told,
      sunk,
      excused: all.reduce((sum, { excused }) => sum + excused, 0),
      entries: books.entries.length,
      decisions: held.decisions.length,
      certificates: held.certificates.length,
      revocations: held.revocations.length,
    };
  }

  /** The sink has every event of the books, once at least. */
  async #requireSunk({ records }: Books): Promise<number> {
    const events = records.flatMap(({ unverified }) =>
      unverified.kind === "control" ? [unverified.value.event_id] : [],
    );
    const untilMs = performance.now() + OWED_MS;
    for (;;) {
      const taken = new Set(this.#made.services.taken.map(({ event_id }) => event_id));
      const missing = events.filter((id) => !taken.has(id));
      if (missing.length === 0) return taken.size;
      assert.ok(performance.now() < untilMs, `the sink is told of all: not of ${missing.length}`);
      await sleep(POLL_MS);
    }
  }

  /** Both give out a checkpoint of all that the books have, which enough witnesses signed. */
  async #requireWitnessed({ entries }: Books): Promise<void> {
    const { two, vkey } = this.#made;
    const untilMs = performance.now() + OWED_MS;
    for (const replica of two.replicas) {
      const { url } = await replica.up();
      for (;;) {
        const { status, text } = await send(url, { target: "/ledger/witnessed-checkpoint" });
        const cosigned = text.match(/^— witness-/gm)?.length ?? 0;
        if (status === 200 && cosigned >= COSIGNERS && verifyCheckpoint(text, vkey).size >= entries.length)
          break;
        assert.ok(performance.now() < untilMs, `the ledger is witnessed to its end: ${text}`);
        await sleep(POLL_MS);
      }
    }
  }
}

function heal({ database, front }: Replica): void {
  for (const link of [database, front]) {
    link.weather({});
    link.heal();
  }
}

/** Of a NATS on this machine. */
function portsOf(notices: { readonly servers?: readonly string[] } | undefined): readonly number[] {
  return (notices?.servers ?? []).map((server) => Number(server.slice(server.lastIndexOf(":") + 1)));
}
