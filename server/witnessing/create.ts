/** Puts the witnesses of a configuration together, and asks them before the server goes on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { isShardName, type ShardName } from "@trustwarden/core/agentledger/shard.ts";
import type { Shard, ShardLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import {
  isQuorum,
  needsWitnesses,
  type PolicyWitness,
  parseTlogPolicy,
  type TlogPolicy,
} from "@trustwarden/core/agentledger/tlog-policy.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { keepFurthest, type Notes } from "@trustwarden/core/notes.ts";
import type { SeatDuties } from "../shared/seat-duties.ts";
import { readFileIfAny, replaceFile } from "../store/posix-log-files.ts";
import { announcing, type EndingLog } from "./announcing.ts";
import type { WitnessSettings } from "./config.ts";
import { type PublishedHead, WitnessFollower } from "./follower.ts";
import type { WitnessedLogSource } from "./own-history.ts";
import { requireNewest } from "./require-newest.ts";
import { createWitnessClient, type WitnessClient } from "./witness-client.ts";
import { type WitnessEvent, type WitnessedStore, Witnessing } from "./witnessing.ts";
import { absentFrom } from "./would-follow.ts";

const FILE = "witnessed-checkpoint";
const LOOPBACK: readonly string[] = ["127.0.0.1", "[::1]", "localhost"];

/** A shard as witnesses are told of it. */
export interface WitnessedShard extends Pick<Shard, "name" | "origin" | "isFrozen"> {
  readonly log: EndingLog & Pick<ShardLog, "waitForCheckpoint">;
}

export interface OpenWitnessingOptions {
  readonly settings: WitnessSettings | undefined;
  readonly dataDir: string;
  /** Key of the ledger, which the policy is about. */
  readonly vkey: string;
  /** Oldest first. */
  readonly shards: readonly WitnessedShard[];
  readonly monoMs: () => number;
  readonly onEvent: (event: WitnessEvent) => void;
  readonly onSilent: (names: readonly string[]) => void;
  readonly onRolledBack: (error: unknown) => void;
  /** Where several servers share the ledger: one of them asks the witnesses, and all of them have what they cosigned. */
  readonly shared: { readonly notes: Notes; readonly duties: SeatDuties } | null;
  /** Takes how to close it. */
  readonly cleanups: (() => Promise<void> | void)[];
}

/**
 * Asks the configured witnesses whether this ledger is the newest, and begins to have it cosigned; null without any.
 *
 * @throws TrustWardenError `config_invalid`, `witness_policy_malformed`, `data_rolled_back`, `witnesses_unreachable`.
 */
export async function openWitnessing(options: OpenWitnessingOptions): Promise<ShardWitnessing | null> {
  const { settings, vkey, shards, cleanups, onSilent } = options;
  if (settings === undefined) return null;
  const { policy, policyText } = readPolicy(settings.policyFile, vkey);
  const ended = new AbortController();
  const reachable = policy.witnesses.filter(hasUrl);
  if (settings.plainHttp === "refuse") requireTlsBeyondLoopback(reachable);
  const clients = reachable.map((witness) =>
    createWitnessClient(witness, { timeoutMs: settings.timeoutMs, ended: ended.signal }),
  );
  const witnessing = new ShardWitnessing({ ...options, settings, policy, policyText, clients });
  cleanups.push(async () => {
    ended.abort();
    await witnessing.close();
  });
  for (const shard of shards) {
    if (await witnessing.isDone(shard)) continue;
    const log = witnessing.sourceOf(shard);
    const asked = { policy, clients: witnessing.clientsOf(shard), log };
    const silent = await requireNewest({ ...asked, whenSilent: settings.whenSilent });
    if (silent.length > 0) onSilent(silent);
    await witnessing.follow(shard);
  }
  await witnessing.share();
  return witnessing;
}

/** What it is made of. */
interface ShardWitnessingOptions extends OpenWitnessingOptions {
  readonly settings: WitnessSettings;
  readonly policy: TlogPolicy;
  readonly policyText: string;
  readonly clients: readonly WitnessClient[];
}

/**
 * Owns one witnessing a shard: each is a log of its own to witnesses, and one that has ended is offered to them until its
 * final checkpoint is witnessed.
 */
export class ShardWitnessing {
  readonly #options: ShardWitnessingOptions;
  readonly #byOrigin = new Map<string, Witnessing>();
  /** In their order. */
  readonly #logs = new Map<string, { readonly log: EndingLog; readonly before: EndingLog | undefined }>();
  /** Those that are not done. */
  readonly #followed = new Set<Witnessing>();
  /** Those that began meanwhile, until they are followed. */
  readonly #begun = new Set<WitnessedShard>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: ShardWitnessingOptions) {
    this.#options = options;
  }

  /** The policy; its line for the ledger's key is about all shards. A key stands in a policy once. */
  get policyText(): string {
    return this.#options.policyText;
  }

  /** The newest checkpoint of a shard that satisfies the policy, with its cosignatures; null before the first. */
  latestOf(origin: string): PublishedHead | null {
    return this.#byOrigin.get(origin)?.latest ?? null;
  }

  /** Whether a shard has ended and its final checkpoint is witnessed; it is held against the log in any case. */
  async isDone(shard: WitnessedShard): Promise<boolean> {
    const { latest } = await this.#take(shard);
    const { log, isFrozen } = shard;
    return isFrozen && latest?.size === verifyCheckpoint(log.checkpoint(), log.vkey).size;
  }

  /** Begins to have a shard cosigned. */
  async follow(shard: WitnessedShard): Promise<void> {
    const witnessing = await this.#take(shard);
    this.#followed.add(witnessing);
    const isAsking = this.#options.shared?.duties.isSeated ?? true;
    if (isAsking) witnessing.start();
  }

  /** From now on whoever has the seat asks, and the others look at what was cosigned. Nothing for a server alone. */
  async share(): Promise<void> {
    const { shared, settings } = this.#options;
    if (shared === null) return;
    this.#timer = setInterval(() => this.#look(), settings.intervalMs).unref();
    await shared.duties.add(async () => {
      for (const witnessing of this.#followed) witnessing.start();
      return async () => {
        await Promise.all([...this.#followed].map((witnessing) => witnessing.close()));
      };
    });
  }

  /** Another server may have begun it. What is kept of it may have to be read later. */
  know(shard: WitnessedShard): void {
    this.#begun.add(shard);
    this.#look();
  }

  /** At what others began and had cosigned, one look after the other. */
  #look(): void {
    this.#looking = this.#looking.then(async () => {
      for (const shard of this.#begun)
        await this.follow(shard).then(
          () => this.#begun.delete(shard),
          (error: unknown) => this.#judge(error),
        );
      for (const witnessing of this.#byOrigin.values())
        await witnessing.restore().catch((error: unknown) => this.#judge(error));
    });
  }

  /** Names of the witnesses for which a turn has to wait; none when enough would follow. @param note - empty tree of the shard to come. */
  absentFrom(note: string): Promise<readonly string[]> {
    const { policy, clients } = this.#options;
    return absentFrom({ policy, clients, note });
  }

  /** The witnesses, who are told of a shard whose key they do not know. */
  clientsOf({ origin, log: { vkey } }: WitnessedShard): readonly WitnessClient[] {
    const before = this.#logs.get(origin)?.before;
    return this.#options.clients.map((client) => announcing(client, { vkey, before }));
  }

  /** A shard's log as witnesses' words are held to it. */
  sourceOf({ log }: WitnessedShard): WitnessedLogSource {
    if (this.#options.shared === null) return log;
    return {
      vkey: log.vkey,
      checkpoint: () => log.checkpoint(),
      proveConsistency: (oldSize, newSize) => log.proveConsistency(oldSize, newSize),
      catchUp: (size) => log.waitForCheckpoint(size),
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    await Promise.all([...this.#byOrigin.values()].map((witnessing) => witnessing.close()));
  }

  /** Safe for whatever else it is: what was known stays, and is looked for again. */
  #judge(error: unknown): void {
    if (error instanceof TrustWardenError && error.code === "data_rolled_back")
      this.#options.onRolledBack(error);
  }

  async #take(shard: WitnessedShard): Promise<Witnessing> {
    const { name, origin } = shard;
    const known = this.#byOrigin.get(origin);
    if (known !== undefined) return known;
    const { dataDir, settings, shared } = this.#options;
    this.#logs.set(origin, { log: shard.log, before: [...this.#logs.values()].at(-1)?.log });
    const log = this.sourceOf(shard);
    const witnessing = new Witnessing({
      ...this.#options,
      log,
      followers: this.clientsOf(shard).map((client) => new WitnessFollower(client, log)),
      store: shared === null ? createStore(dataDir, name) : createSharedStore(shared.notes, shard),
      intervalMs: settings.intervalMs,
    });
    this.#byOrigin.set(origin, witnessing);
    await witnessing.restore();
    return witnessing;
  }
}

/** The file's policy for this log; its line is added where it is missing, so that the text is complete for readers. */
function readPolicy(
  file: string,
  vkey: string,
): { readonly policy: TlogPolicy; readonly policyText: string } {
  const given = readFile(file);
  const { logs } = parseTlogPolicy(given);
  const policyText = logs.length === 0 ? `log ${vkey}\n${given}` : given;
  const policy = parseTlogPolicy(policyText);
  if (!policy.logs.some((log) => log.vkey === vkey)) throw invalid("the policy is for another log");
  if (!needsWitnesses(policy)) throw invalid("the policy asks for no witness");
  const reachable = policy.witnesses.filter(hasUrl).map(({ name }) => name);
  if (!isQuorum(policy, new Set(reachable))) throw invalid("too few of its witnesses have a URL");
  return { policy, policyText };
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw invalid("cannot be read", cause);
  }
}

/** By the address and no other name: `localhost.attacker.test` is somebody else's. */
function requireTlsBeyondLoopback(
  witnesses: readonly { readonly name: string; readonly url: string }[],
): void {
  for (const { name, url } of witnesses) {
    const { protocol, hostname } = new URL(url);
    if (protocol !== "https:" && !LOOPBACK.includes(hostname))
      throw invalid(`plain http beyond this machine to witness ${name}; see witnesses.plainHttp`);
  }
}

function invalid(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting: "witnesses.policyFile", reason }, { cause });
}

function hasUrl(witness: PolicyWitness): witness is PolicyWitness & { readonly url: string } {
  return witness.url !== null;
}

/** Whether a file of the data directory is the witnessed checkpoint of a shard. */
export function isWitnessedFile(name: string): boolean {
  return name === FILE || (name.startsWith(`${FILE}.`) && isShardName(name.slice(FILE.length + 1)));
}

/** One for all servers; of two, the longer one stays. */
function createSharedStore(notes: Notes, { origin, log }: WitnessedShard): WitnessedStore {
  const kind = "witnessed";
  const sizeOf = (note: string): number => {
    try {
      return verifyCheckpoint(note, log.vkey).size;
    } catch (error) {
      // Safe: what the log has not signed keeps nothing from its place; it is no news to whoever reads it.
      if (error instanceof TrustWardenError) return -1;
      throw error;
    }
  };
  return {
    read: async () => (await notes.read(kind, origin))?.body ?? null,
    write: (note) => {
      const size = sizeOf(note);
      return keepFurthest(notes, {
        kind,
        name: origin,
        body: note,
        isAhead: (kept) => sizeOf(kept) >= size,
      });
    },
  };
}

function createStore(dataDir: string, shard: ShardName): WitnessedStore {
  const path = join(dataDir, shard === null ? FILE : `${FILE}.${shard}`);
  return {
    read: async () => {
      const bytes = await readFileIfAny(path);
      return bytes === null ? null : parseUtf8(bytes);
    },
    write: (note: string) => replaceFile({ path, temporary: `${path}.new`, bytes: encodeUtf8(note) }),
  };
}
