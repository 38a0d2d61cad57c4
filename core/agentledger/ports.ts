/**
 * What the ledger needs from the outside: storage, a mark kept elsewhere, and certificates.
 *
 * Each method says what is durable when it returns; the sequencer's promises are built on exactly that. Adapters run
 * one contract test (`log-storage.test.support.ts`), the in-memory one included.
 */
import type { PublicKey } from "../crypto.ts";

/** Reads the published files of a log: a live one, or an export. */
export interface LogReader {
  /**
   * Bytes of a tile or bundle, by its tlog-tiles path.
   *
   * @throws TrustWardenError `not_found`.
   */
  readObject(path: string): Promise<Uint8Array>;
  /** The published checkpoint, or null before the first. */
  readCheckpoint(): Promise<string | null>;
}

/** A tile or bundle to keep. */
export interface LogObject {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The sequencer's own memory; never published. */
export interface LogState {
  /** Entries that are in durable tiles. */
  readonly size: number;
  /** Root over them. */
  readonly root: Uint8Array;
  /** The latest signed checkpoint: stored before it is shown to anybody, so that no second one can differ. */
  readonly checkpoint: string;
}

/** Everything the one writer of a log keeps. All writes fail closed: an error means "state unknown". */
export interface LogStorage extends LogReader {
  /**
   * Becomes the one writer, until `close`.
   *
   * @throws TrustWardenError `data_locked` while another process, or another user in this one, is the writer.
   */
  open(): Promise<void>;
  /** Stops being the writer. Nothing needs to be flushed: every other method is durable when it returns. */
  close(): Promise<void>;
  /** Appends bytes to the write-ahead log, one call at a time. Durable on return, behind everything appended before. */
  appendWal(record: Uint8Array): Promise<void>;
  /**
   * Segments of the write-ahead log in order; an append that never returned may be torn or missing. Space that was
   * prepared and not written yet follows as zeros.
   */
  readWal(): Promise<readonly Uint8Array[]>;
  /** Later appends begin a new segment of the write-ahead log. Durable on return. */
  rotateWal(): Promise<void>;
  /** Forgets all segments but the one being written. The caller has made their content durable in tiles. */
  trimWal(): Promise<void>;
  /**
   * Writes tiles and bundles, each once: the same bytes again are fine. All are durable on return; before that any
   * subset may be.
   *
   * @throws TrustWardenError `ledger_corrupt` when other bytes are there: published tiles never change.
   */
  writeObjects(objects: readonly LogObject[]): Promise<void>;
  /** Drops the partial versions of tiles whose full version is durable. Need not be durable. */
  removePartials(fullTilePaths: readonly string[]): Promise<void>;
  /** The state last swapped in, or null in a new log. @throws TrustWardenError `ledger_corrupt`. */
  readState(): Promise<LogState | null>;
  /**
   * Replaces the state when it still is `expected`. Durable on return; atomic under a crash.
   *
   * @throws TrustWardenError `ledger_corrupt` when the state is another one: somebody else wrote.
   */
  swapState(expected: LogState | null, next: LogState): Promise<void>;
  /** Shows a checkpoint to readers. Durable on return; atomic under a crash. */
  publishCheckpoint(note: string): Promise<void>;
}

/** How far the log and the revocations had come, at least. */
export interface HighWaterMark {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** Latest revocation epoch. */
  readonly epoch: number;
}

/**
 * A mark kept outside the data directory, under another backup policy, so that restoring an old copy of the data is
 * noticed. It only rises.
 */
export interface HighWater {
  /** The mark, or null when there never was one. @throws TrustWardenError `data_rolled_back` when unreadable. */
  read(): Promise<HighWaterMark | null>;
  /** Raises whatever is given and higher. Durable on return. */
  raise(mark: {
    /** Of the log; whichever it is of, where only the epoch rises. */
    readonly origin?: string;
    /** Origin of the shard that this one follows: its mark gives way to one of size 0. */
    readonly after?: string | undefined;
    readonly tree?: { readonly size: number; readonly root: Uint8Array };
    readonly epoch?: number;
  }): Promise<void>;
}

/** A certificate chain that leads to a trusted root. */
export interface VerifiedCertificate {
  readonly spiffeId: string;
  /** base64url SHA-256 of the leaf's DER: the `keyid` of what it signs. */
  readonly sha256: string;
  readonly publicKey: PublicKey;
  /** Of a federated trust domain: it speaks for itself, never for this deployment. */
  readonly isForeign: boolean;
  /** Unix seconds. */
  readonly notBefore: number;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** Checks SVID chains against the caller's trust roots; AgentID provides it where the parts are put together. */
export interface CertificateVerifier {
  /**
   * @param chain - DER certificates, leaf first, without the root.
   * @param at - Unix seconds at which the chain must have been valid.
   * @throws TrustWardenError any `svid_` code.
   */
  verifyChain(chain: readonly Uint8Array[], at: number): VerifiedCertificate;
  /**
   * Takes the authorities of a federated trust domain that the log tells of, in place of those before; none once the
   * relationship is over. A verifier of one trust domain has no use for it.
   *
   * @param authorities - DER certificates.
   * @throws TrustWardenError `federation_bundle_refused` for our own trust domain, or what a certificate is refused with.
   */
  learnAuthorities?(trustDomain: string, authorities: readonly Uint8Array[]): void;
}
