/**
 * A campaign of crashes on one deployment: load, kill, start again, and prove that everything promised still holds.
 */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { auditTiles } from "@trustwarden/core/agentledger/audit-tiles.ts";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { PosixLogReader } from "../../server/store/posix-log.ts";
import { askDecision, type TestInstance } from "./actors.ts";
import { auditAfterCrash, type Books } from "./crash-audit.ts";
import { CrashClients, type HeldDecision } from "./crash-clients.ts";
import { eventsOfKind } from "./crash-events.ts";
import type { CrashPoint, Weakening } from "./crash-points.ts";
import { cancelCrash, configureHome, planCrash, startProcess } from "./crash-server.ts";
import { codeOf, jsonOf, send } from "./http.ts";
import { createHome, type TestHome, type TestServer } from "./server.ts";

/** A process that was told to die and has not is a finding; a dozen checkpoints on a busy disk take a while. */
const DEATH_TIMEOUT_MS = 45_000;
/** From a start that is hardly over to one whose first revocations are answered. */
const MAX_RANDOM_MS = 1200;
/** Refusals are recorded up to an allowance a peer, so that only so many can be looked up. */
const MAX_PROBES = 5;

/** A ledger elsewhere than in the data directory. */
export interface RemoteLedger {
  /** `ledger` in `server.json`. */
  readonly settings: unknown;
  readonly reader: LogReader;
}

/** What a campaign is held with; all may be left out. */
export interface CampaignOptions {
  /** Of every server process. */
  readonly weakening?: Weakening | undefined;
  readonly ledger?: RemoteLedger | undefined;
}

/** Owns the directories, the clients and the one server process, which is running between calls. */
export class CrashCampaign {
  readonly clients: CrashClients;
  readonly #home: TestHome;
  readonly #vkey: string;
  readonly #weakening: Weakening | undefined;
  readonly #reader: LogReader;
  #server: TestServer;
  #books: Books | undefined;

  private constructor(options: {
    readonly clients: CrashClients;
    readonly home: TestHome;
    readonly vkey: string;
    readonly server: TestServer;
    readonly weakening: Weakening | undefined;
    readonly reader: LogReader;
  }) {
    this.clients = options.clients;
    this.#home = options.home;
    this.#vkey = options.vkey;
    this.#server = options.server;
    this.#weakening = options.weakening;
    this.#reader = options.reader;
  }

  /** Makes a deployment with its standing clients. */
  static async begin({ weakening, ledger }: CampaignOptions = {}): Promise<CrashCampaign> {
    const home = createHome();
    configureHome(home, ledger === undefined ? {} : { ledger: ledger.settings });
    const server = await startListening(home, weakening);
    const answer = await send(server.url, { target: "/.well-known/trustwarden" });
    const { log_vkey: vkey } = discovery.parse(jsonOf(answer));
    const clients = await CrashClients.enrol(server);
    const reader = ledger?.reader ?? new PosixLogReader(join(home.dataDir, "ledger"));
    return new CrashCampaign({ clients, home, vkey, server, weakening, reader });
  }

  /** Kills the server under load after a random time. @returns entries of the ledger after the next start. */
  async crashAtRandom(): Promise<number> {
    await this.#die(randomInt(MAX_RANDOM_MS));
    return this.#startAgain();
  }

  /**
   * Kills the server under load at a point, for the n-th time that it gets there.
   *
   * @param hit - from 1.
   * @returns entries of the ledger after the next start.
   */
  async crashAt(point: CrashPoint, hit: number): Promise<number> {
    planCrash(this.#home, { point, hit });
    const tookMs = await this.#die(DEATH_TIMEOUT_MS);
    assert.ok(tookMs < DEATH_TIMEOUT_MS, `${point.name} was never reached`);
    return this.#startAgain();
  }

  /** Kills the server at a point while it starts. @returns entries of the ledger after the next start. */
  async crashInStart(point: CrashPoint): Promise<number> {
    await this.#server.close();
    planCrash(this.#home, { point, hit: 1 });
    const started = startProcess(this.#home, this.#weakening);
    assert.equal(await started.ready, undefined, `${point.name} is not passed by a start`);
    return this.#startAgain();
  }

  async end(): Promise<void> {
    await this.#server.close();
    this.#home.remove();
  }

  /** @returns milliseconds under load until the server was dead, by a point's doing or at the latest by ours. */
  async #die(timeoutMs: number): Promise<number> {
    const startedMs = performance.now();
    const timer = setTimeout(() => void this.#server.close(), timeoutMs);
    await this.clients.load(this.#server);
    assert.equal(await this.#server.failed, "SIGKILL", "the server ended by itself");
    clearTimeout(timer);
    return performance.now() - startedMs;
  }

  async #startAgain(): Promise<number> {
    cancelCrash(this.#home);
    await this.#requirePublished();
    this.#server = await startListening(this.#home, this.#weakening);
    return this.#examine();
  }

  /** What anybody could have fetched a moment before the crash still verifies as it lies on the disk. */
  async #requirePublished(): Promise<void> {
    const reader = this.#reader;
    const head = verifyCheckpoint((await reader.readCheckpoint()) ?? "", this.#vkey);
    const report = ({ code, place }: { readonly code: string; readonly place: string }) =>
      assert.fail(`after the crash: ${code} at ${place}`);
    let size = 0;
    for await (const { entries } of auditTiles(reader, { head, report })) size += entries.length;
    assert.equal(size, head.size);
  }

  async #examine(): Promise<number> {
    const { clients } = this;
    this.#books = await auditAfterCrash(this.#server, {
      clients,
      vkey: this.#vkey,
      olderCheckpoint: this.#books?.checkpoint,
    });
    await this.#requireStillRevoked(this.#server);
    await this.#requireStillUsed(this.#server);
    await clients.settleDoubts(this.#server);
    assert.deepEqual(clients.surprises, []);
    return this.#books.entries.length;
  }

  async #requireStillRevoked(server: TestServer): Promise<void> {
    const probes = sample(this.clients.revocations).map(({ agent }) => ({
      agent,
      intent: this.clients.intentOf(agent),
    }));
    await this.#requireRefused(server, probes, "identity_revoked");
  }

  async #requireStillUsed(server: TestServer): Promise<void> {
    const replays = sample(this.clients.replayable(Date.now()));
    await this.#requireRefused(server, replays, "intent_replayed");
  }

  /** Vague to the caller, exact in the ledger. */
  async #requireRefused(
    server: TestServer,
    probes: readonly Pick<HeldDecision, "agent" | "intent">[],
    reason: string,
  ): Promise<void> {
    for (const { agent, intent } of probes) await this.#requireOneRefused(server, { agent, intent });
    const refusals = (await eventsOfKind(server, "refuse")).slice(0, probes.length);
    const reasons = refusals.map(({ reasons: [first] }) => first);
    assert.deepEqual(
      reasons,
      probes.map(() => reason),
    );
  }

  async #requireOneRefused(
    server: TestServer,
    { agent, intent }: { readonly agent: TestInstance; readonly intent: HeldDecision["intent"] },
  ): Promise<void> {
    const answer = await askDecision(server, { caller: this.clients.verifier, agent, intent });
    assert.deepEqual(
      [answer.status, codeOf(answer)],
      [401, "principal_refused"],
      "what must not act again is refused",
    );
  }
}

async function startListening(home: TestHome, weakening: Weakening | undefined): Promise<TestServer> {
  const started = startProcess(home, weakening);
  const server = await started.ready;
  if (server === undefined) throw new Error(`the server did not start: ${started.errors()}`);
  return server;
}

/** The latest, and the very first. */
function sample<T>(all: readonly T[]): readonly T[] {
  return all.length <= MAX_PROBES ? all : [...all.slice(0, 1), ...all.slice(1 - MAX_PROBES)];
}
