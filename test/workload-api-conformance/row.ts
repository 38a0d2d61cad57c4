/** What a row of the suite is, and how it reaches its verdict. */
import type { X509State } from "./api.ts";
import { type Connection, type Ending, openConnection, STATUS, type Target } from "./grpc.ts";

/** M = MUST, S = SHOULD, O = MAY, D = what real clients need, B = what SPIRE's agent does, T = robustness. */
export type Level = "M" | "S" | "O" | "D" | "B" | "T";

export interface Row {
  /** Number of the requirement, with a letter when it takes several rows. */
  readonly id: string;
  readonly level: Level;
  /** The requirement, as a sentence that can be false. */
  readonly text: string;
  /** Returns what was seen; throws `Failed` or `NotSeen`. */
  readonly check: (bench: Bench) => Promise<string> | string;
}

export interface RowVerdict {
  readonly id: string;
  readonly level: Level;
  readonly text: string;
  readonly verdict: "pass" | "fail" | "not seen";
  /** What was seen, or why nothing was. */
  readonly said: string;
}

/** The requirement does not hold. */
export class Failed extends Error {}

/** The endpoint cannot be made to show it from here. */
export class NotSeen extends Error {}

/** What the endpoint says to a well-behaved caller, read once before the rows. */
export interface Snapshot {
  readonly x509: X509State;
  /** DER of each bundle by its key. */
  readonly x509Bundles: ReadonlyMap<string, Uint8Array>;
  readonly jwtBundles: ReadonlyMap<string, Uint8Array>;
  /** `spiffe://trust-domain` of the first SVID. */
  readonly ownDomain: string;
}

/** Every message of the streams over some time, before the rows. */
export interface Watched {
  readonly x509: readonly Uint8Array[];
  readonly x509Bundles: readonly Uint8Array[];
  readonly jwtBundles: readonly Uint8Array[];
}

/** What rows work with. */
export interface Bench {
  readonly target: Target;
  readonly snapshot: Snapshot;
  /** How long a well-behaved call may take. */
  readonly patienceMs: number;
  /** Null when nobody watched. */
  readonly watched: Watched | null;
  /** Takes the identity of this process away, for good; null when nobody can. */
  readonly withdraw: (() => Promise<void>) | null;
  /** A user id that is entitled to nothing; null when there is none to be. */
  readonly strangerUid: number | null;
  /** Runs the work on a connection of its own. */
  readonly using: <T>(work: (connection: Connection) => Promise<T>) => Promise<T>;
}

export function createBench(options: Omit<Bench, "using">): Bench {
  return {
    ...options,
    using: async (work) => {
      const connection = openConnection(options.target);
      try {
        return await work(connection);
      } finally {
        connection.close();
      }
    },
  };
}

/** @throws Failed with the sentence unless the condition holds. */
export function requireThat(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Failed(otherwise);
}

/** @throws Failed unless the call ended with that status. */
export function requireStatus(ending: Ending | null, expected: keyof typeof STATUS): string {
  requireThat(ending !== null, "a message was sent instead of a refusal");
  requireThat(ending.status === STATUS[expected], `expected ${expected}; ${describeEnding(ending)}`);
  return describeEnding(ending);
}

/** An ending in words. */
export function describeEnding({ status, message }: Ending): string {
  if (status === undefined) return `no status: ${message}`;
  const name = Object.entries(STATUS).find(([, code]) => code === status)?.[0] ?? `status ${status}`;
  return message === "" ? name : `${name} "${message}"`;
}

/** Runs one row to its verdict; whatever is thrown is one. */
export async function judgeRow({ id, level, text, check }: Row, bench: Bench): Promise<RowVerdict> {
  const row = { id, level, text };
  try {
    return { ...row, verdict: "pass", said: await check(bench) };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { ...row, verdict: error instanceof NotSeen ? "not seen" : "fail", said };
  }
}
