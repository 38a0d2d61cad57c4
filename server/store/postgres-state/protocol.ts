/** What crosses between the writer's thread and the one that holds its connection to PostgreSQL. */

import type { MessagePort } from "node:worker_threads";
import type { ErrorDetails } from "@trustwarden/core/error.ts";
import type { LoginSettings } from "../postgres-login.ts";

/** Where the state is kept. */
export interface StateSettings {
  readonly login: LoginSettings;
  /** After so long without a sign of life the database ends the session of a writer. */
  readonly sessionTimeoutMs: number;
  /** The writer waits no longer for one statement: whatever stops somebody waits behind it. */
  readonly statementTimeoutMs: number;
  /** How long a start waits for the writer before it to let go; null: for ever. */
  readonly lockWaitMs: number | null;
  /** Whether stops and checks go on without the database; false where another server takes over. */
  readonly goesOn: boolean;
  /** Whether other servers write too, each upon what the others wrote. */
  readonly isShared: boolean;
  /** Whether somebody else than the database tells these servers that one of them wrote. */
  readonly hasNotices?: boolean;
}

/** Holder of a store that several servers share; the statements of `schema-text.ts` say the same. */
export const SHARERS = "replicas";

/** Begins what the database lists a server's beats as; its program's version follows. */
export const REPLICA_SESSION = "trustwarden-replica";

/** `workerData` of the connection's thread. */
export interface ConnectionData
  extends Pick<
    StateSettings,
    "login" | "sessionTimeoutMs" | "statementTimeoutMs" | "isShared" | "hasNotices"
  > {
  readonly requests: MessagePort;
  /** Counts answers; waited on. */
  readonly answered: Int32Array<SharedArrayBuffer>;
}

/** What can be bound. */
export type PostgresValue = string | number | Uint8Array | null;

export type ConnectionRequest =
  | { readonly kind: "connect" }
  | { readonly kind: "query"; readonly sql: string; readonly values: readonly PostgresValue[] }
  | { readonly kind: "close" };

/** A request under its number, which its answer carries: one that comes too late is nobody else's. */
export interface Asked {
  readonly id: number;
  readonly request: ConnectionRequest;
}

export interface Answered {
  readonly id: number;
  readonly answer: ConnectionAnswer;
}

export type PostgresRow = Readonly<Record<string, unknown>>;

/** `isInDoubt`: nobody knows what the statement did, since its answer never came. */
export type ConnectionAnswer =
  | { readonly kind: "rows"; readonly rows: readonly PostgresRow[] }
  | {
      readonly kind: "failed";
      readonly code: "config_invalid" | "file_mode_too_open" | "store_unavailable";
      readonly details: ErrorDetails;
      readonly sqlState: string;
      readonly isInDoubt: boolean;
    };

/** Unasked: the connection is lost, or there is one again; or somebody else may have written. */
export type ConnectionEvent = { readonly kind: "lost" | "linked" | "written" };
