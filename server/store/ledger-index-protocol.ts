/** What crosses between the server's thread and the index's: entries and questions one way, answers the other. */
import type { EventFilter, EventPageRequest, IntentName } from "@trustwarden/core/agentledger/query-index.ts";
import type { ErrorCode, ErrorDetails } from "@trustwarden/core/error.ts";
import type { IndexProgress } from "./ledger-index.ts";
import type { PackedEntries } from "./packed-entries.ts";

/** `workerData` of the index's thread. */
export interface IndexThreadData {
  /** Of the file, or `:memory:`. */
  readonly path: string;
  /** Answers questions on a file that another thread writes. */
  readonly isReader?: true;
}

/** One thing to do; what is posted first is done first. */
export type IndexTask =
  | { readonly kind: "add"; readonly entries: PackedEntries }
  | { readonly kind: "beginAnew" }
  | { readonly kind: "query"; readonly filter: EventFilter; readonly page: EventPageRequest }
  | { readonly kind: "findOutcome"; readonly intent: IntentName }
  | { readonly kind: "close" };

/** A task on its way; the id joins it to its reply. */
export type IndexRequest = IndexTask & { readonly id: number };

export type IndexReply<T = unknown> =
  | { readonly kind: "done"; readonly id: number; readonly value: T }
  | {
      readonly kind: "refused";
      readonly id: number;
      readonly code: ErrorCode;
      readonly details: ErrorDetails;
    };

/** From the thread: how far the file has come, once, and then one reply a task. */
export type FromIndex = { readonly kind: "ready"; readonly progress: IndexProgress } | IndexReply;
