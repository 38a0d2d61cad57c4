/**
 * The state store: one SQLite file, one writer thread for the commands, plain reads in the caller's thread. The file is
 * the store, or the copy of one that is in PostgreSQL (`postgres-state/`).
 *
 * Owns the worker: a command is pending until its group is committed or the worker is gone, and then it fails.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type ErrorDetails, TrustWardenError } from "@trustwarden/core/error.ts";
import { threadEnvironment } from "../thread-environment.ts";
import type { ApprovalCommands } from "./approval-ports.ts";
import type { StoredAuthority } from "./authority-ports.ts";
import type { SecretState } from "./broker-ports.ts";
import type { BudgetState } from "./budget-ports.ts";
import type { IssuingKeys, IssuingRules } from "./commands/deps.ts";
import type { FederationState, RegisteredForeign } from "./federation-ports.ts";
import type { UpstreamState } from "./gateway-ports.ts";
import type { PinState } from "./mcp-ports.ts";
import type {
  Committed,
  IssuedCrls,
  IssuedIdentity,
  IssuedStatusList,
  ServerSvid,
  StoreCommands,
  StoreReads,
} from "./ports.ts";
import type { StateSettings } from "./postgres-state/protocol.ts";
import { createReads } from "./reads.ts";
import type { RegistrationCommands } from "./registration-ports.ts";
import { createCommitCount, rememberReads } from "./remembered-reads.ts";
import type { Revoked } from "./revocation-ports.ts";
import { openForReading } from "./schema.ts";
import type {
  FromWriter,
  StateLink,
  ToWriter,
  WriterCommand,
  WriterData,
  WriterReply,
} from "./writer-protocol.ts";

export interface SqliteStoreOptions {
  /** 0700; the file in it is made 0600. */
  readonly dataDir: string;
  readonly keys: IssuingKeys;
  readonly rules: IssuingRules;
  /** Unix milliseconds; for counts only, commands carry their own time. */
  readonly nowMs: () => number;
  /** Where the state is kept, when it is not on this machine's disk: the file is then a copy. */
  readonly remote?: StateSettings | undefined;
  /** Called once when the writer failed in an unknown state or died: the process must stop. */
  readonly onFatal: (why: ErrorDetails) => void;
}

export interface SqliteStore {
  readonly commands: StoreCommands;
  readonly reads: StoreReads;
  /** Has one listener told when the database of a store elsewhere went away, and when it is back. */
  watchLink(onLink: (link: StateLink) => void): void;
  /** Has one listener told when the copy has what other servers wrote, and in which tables; null where it may be any. */
  watchFollowed(onFollowed: OnFollowed): void;
  /** Has one listener told when the database has what this server wrote, where the database itself does not tell the others. */
  watchKept(onKept: () => void): void;
  /** Finishes what waits, then closes both connections. */
  close(): Promise<void>;
}

/** @see `SqliteStore.watchFollowed` */
export type OnFollowed = (tables: readonly string[] | null) => void;

/** A command on its way; the writer answers each with its own type of value. */
interface Waiting {
  settle(reply: WriterReply): void;
}

/**
 * Opens the store, and makes it when there is none.
 *
 * @throws TrustWardenError `store_unavailable`, or what the keys are refused with.
 */
export async function createSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  const { dataDir, keys, rules, nowMs, onFatal } = options;
  const remote = options.remote ?? null;
  const commits = createCommitCount();
  const writer = new WriterClient({ dataDir, keys, rules, commits, remote }, onFatal);
  await writer.ready;
  const database = openForReading(dataDir, remote === null ? "state.db" : "state-mirror.db");
  const plain = createReads(database, () => Math.floor(nowMs() / 1000));
  const reads = rememberReads(plain, { database, commits });
  return {
    commands: createCommands(writer),
    reads,
    watchLink: (onLink) => {
      writer.onLink = onLink;
    },
    watchFollowed: (onFollowed) => {
      writer.onFollowed = onFollowed;
    },
    watchKept: (onKept) => {
      writer.onKept = onKept;
    },
    close: async () => {
      // What others wrote is read by nobody any more: whoever is told would ask a copy that is closed.
      writer.leave();
      // The writer last: only the last connection, if it may write, folds the write-ahead log into the one file.
      reads.close();
      await writer.close();
    },
  };
}

function createCommands(writer: WriterClient): StoreCommands {
  return {
    createOwner: (command) =>
      writer.run<Committed<{ readonly ownerId: string; readonly name: string }>>({
        kind: "createOwner",
        command,
      }),
    depositTicket: (command) => writer.run({ kind: "depositTicket", command }),
    askClaim: (command) => writer.run({ kind: "changeClaim", command }),
    acceptClaim: (command) => writer.run({ kind: "changeClaim", command }),
    offerTransfer: (command) => writer.run({ kind: "offerTransfer", command }),
    acceptTransfer: (command) => writer.run({ kind: "acceptTransfer", command }),
    createVerifierTicket: (command) =>
      writer.run<Committed<{ readonly ticket: string }>>({ kind: "createVerifierTicket", command }),
    issue: (command) => writer.run<Committed<IssuedIdentity>>({ kind: "issue", command }),
    renew: (command) => writer.run<Committed<IssuedIdentity>>({ kind: "renew", command }),
    issueJwt: (command) =>
      writer.run<Committed<{ readonly svid: string; readonly expiresAt: number }>>({
        kind: "issueJwt",
        command,
      }),
    revoke: (command) => writer.run<Committed<Revoked>>({ kind: "revoke", command }),
    loadPolicy: (command) =>
      writer.run<Committed<{ readonly version: number }>>({ kind: "loadPolicy", command }),
    narrow: (command) =>
      writer.run<Committed<{ readonly scope: IssuedIdentity["scope"] }>>({ kind: "narrow", command }),
    issueServerSvid: (command) => writer.run<Committed<ServerSvid>>({ kind: "issueServerSvid", command }),
    changeAuthority: (command) =>
      writer.run<Committed<StoredAuthority>>({ kind: "changeAuthority", command }),
    mendAuthority: (command) => writer.run<StoredAuthority>({ kind: "mendAuthority", command }),
    issueCrls: (command) => writer.run<IssuedCrls>({ kind: "issueCrls", command }),
    changeFederation: (command) =>
      writer.run<Committed<FederationState | null>>({ kind: "changeFederation", command }),
    changeUpstream: (command) =>
      writer.run<Committed<UpstreamState | null>>({ kind: "changeUpstream", command }),
    changeSecret: (command) => writer.run<Committed<SecretState | null>>({ kind: "changeSecret", command }),
    observeMcp: (command) => writer.run<Committed<readonly PinState[]>>({ kind: "observeMcp", command }),
    approveMcp: (command) => writer.run<Committed<readonly PinState[]>>({ kind: "approveMcp", command }),
    issueStatusList: (command) => writer.run<IssuedStatusList>({ kind: "issueStatusList", command }),
    registerForeign: (command) =>
      writer.run<Committed<RegisteredForeign>>({ kind: "registerForeign", command }),
    admitSvid: (command) => writer.run<Committed<null>>({ kind: "admitSvid", command }),
    changePeople: (command) => writer.run({ kind: "changePeople", command }),
    countReading: (reading) => writer.run({ kind: "countReading", reading }),
    touchSession: (touch) => writer.run({ kind: "touchSession", touch }),
    setBudget: (command) => writer.run<Committed<BudgetState>>({ kind: "setBudget", command }),
    saveBudgetUse: async (rows) => {
      await writer.run<null>({ kind: "saveBudgetUse", rows });
    },
    shareBudgetUse: (command) => writer.run({ kind: "saveBudgetUse", rows: command }),
    foldBudgetShares: async (command) => {
      await writer.run<null>({ kind: "saveBudgetUse", rows: command });
    },
    markSequenced: async (outboxIds) => {
      await writer.run<null>({ kind: "markSequenced", outboxIds });
    },
    issueAccessToken: (command) => writer.run({ kind: "issueAccessToken", command }),
    issueIdentityGrant: (command) => writer.run({ kind: "issueIdentityGrant", command }),
    revokeAccessToken: (command) => writer.run({ kind: "revokeAccessToken", command }),
    issueWit: (command) => writer.run({ kind: "issueWit", command }),
    issueWitByNode: (command) => writer.run({ kind: "issueWitByNode", command }),
    ...createRegistrationCommands(writer),
    ...createApprovalCommands(writer),
    close: () => writer.close(),
  };
}

function createApprovalCommands(writer: WriterClient): ApprovalCommands {
  return {
    createApproval: (command) => writer.run({ kind: "createApproval", command }),
    answerApproval: (command) => writer.run({ kind: "answerApproval", command }),
    useApproval: (command) => writer.run({ kind: "useApproval", command }),
    addLabels: (command) => writer.run({ kind: "addLabels", command }),
    setFreeze: (command) => writer.run({ kind: "setFreeze", command }),
  };
}

function createRegistrationCommands(writer: WriterClient): RegistrationCommands {
  return {
    createJoinToken: (command) => writer.run({ kind: "createJoinToken", command }),
    admitNode: (command) => writer.run({ kind: "admitNode", command }),
    createEntry: (command) => writer.run({ kind: "createEntry", command }),
    removeEntry: (command) => writer.run({ kind: "removeEntry", command }),
    issueByEntry: (command) => writer.run({ kind: "issueByEntry", command }),
    renewByNode: (command) => writer.run({ kind: "renewByNode", command }),
    issueJwtByNode: (command) => writer.run({ kind: "issueJwtByNode", command }),
    endByNode: (command) => writer.run({ kind: "endByNode", command }),
  };
}

/** The caller's end of the writer thread. Every pending command is in `#waiting` and is settled exactly once. */
class WriterClient {
  readonly ready: Promise<void>;
  onLink: ((link: StateLink) => void) | undefined;
  onFollowed: OnFollowed | undefined;
  onKept: (() => void) | undefined;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  readonly #onFatal: (why: ErrorDetails) => void;
  #nextId = 1;
  #isClosed = false;
  #isFatal = false;

  constructor(data: WriterData, onFatal: (why: ErrorDetails) => void) {
    const file = `./writer${extname(fileURLToPath(import.meta.url))}`;
    this.#onFatal = onFatal;
    const place = new URL(file, import.meta.url);
    this.#worker = new Worker(place, { name: "writer", workerData: data, env: threadEnvironment() });
    const ready = Promise.withResolvers<void>();
    const exited = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#exited = exited.promise;
    this.#worker.on("message", (message: FromWriter) => {
      if (message.kind === "ready") ready.resolve();
      else if (message.kind === "refused") ready.reject(new TrustWardenError(message.code, message.details));
      else if (message.kind === "link") this.onLink?.(message);
      else if (message.kind === "followed") this.onFollowed?.(message.tables);
      else if (message.kind === "kept") this.onKept?.();
      else this.#receive(message);
    });
    // Every exit is preceded by `error` or by our own close; pending commands fail in either case.
    this.#worker.on("error", (cause) => ready.reject(unavailable("the writer died", cause)));
    this.#worker.on("exit", () => {
      this.#abandon();
      ready.reject(unavailable("the writer is gone"));
      exited.resolve();
    });
  }

  run<T>(command: WriterCommand): Promise<T> {
    if (this.#isClosed || this.#isFatal) return Promise.reject(unavailable("the store is closed"));
    const id = this.#nextId;
    this.#nextId += 1;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiting = {
      settle(reply: WriterReply<T>): void {
        if (reply.isDone) resolve(reply.value);
        else reject(new TrustWardenError(reply.code, reply.details));
      },
    };
    this.#waiting.set(id, waiting);
    this.#send({ ...command, id });
    return promise;
  }

  /** Nobody is told of anything from now on. */
  leave(): void {
    this.onLink = undefined;
    this.onFollowed = undefined;
    this.onKept = undefined;
  }

  close(): Promise<void> {
    if (!this.#isClosed) this.#send({ kind: "close" });
    this.#isClosed = true;
    return this.#exited;
  }

  #receive({ replies, isFatal, why = {} }: Extract<FromWriter, { readonly kind: "replies" }>): void {
    for (const reply of replies) {
      this.#waiting.get(reply.id)?.settle(reply);
      this.#waiting.delete(reply.id);
    }
    if (isFatal) this.#fail(why);
  }

  /** The thread is gone: what it had not answered is in an unknown state, and so refused. */
  #abandon(): void {
    const details = { reason: "the writer is gone" };
    for (const [id, waiting] of this.#waiting) {
      waiting.settle({ id, isDone: false, code: "store_unavailable", details });
    }
    this.#waiting.clear();
    if (!this.#isClosed) this.#fail(details);
  }

  #fail(why: ErrorDetails): void {
    if (this.#isFatal) return;
    this.#isFatal = true;
    this.#onFatal(why);
  }

  #send(message: ToWriter): void {
    this.#worker.postMessage(message);
  }
}

function unavailable(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("store_unavailable", { reason }, { cause });
}
