/**
 * Where a log of a test is kept: a directory, or a database and an object store. Plain data, so that a process of its own
 * can be told.
 */
import { readFileSync } from "node:fs";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import type { LogReader, LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { signObjectRequest } from "../signer/aws-signature.ts";
import { PosixLogReader, PosixLogStorage } from "./posix-log.ts";
import { createPosixHighWater } from "./posix-log-high-water.ts";
import { PostgresLogStorage } from "./postgres-log.ts";
import { S3Client } from "./s3-client.ts";
import { S3LogReader } from "./s3-objects.ts";

/** A database and an object store that run for tests. */
export interface RemoteLab {
  readonly postgres: {
    /** The directory of its Unix socket. */
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    /** Who made the schema. */
    readonly admin: string;
    /** Of the user, at this machine's address, where TLS is asked for. */
    readonly password: string;
    readonly caFile: string;
  };
  readonly objects: {
    readonly endpoint: string;
    readonly region: string;
    readonly bucket: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    /** Of the store, which is asked over TLS. */
    readonly caFile: string;
  };
}

interface RemotePlace {
  readonly prefix: string;
  readonly sessionTimeoutMs: number;
  /** None unless given. */
  readonly lockWaitMs?: number;
}

/** One log. */
export interface LogPlace {
  readonly origin: string;
  /** File of the high-water mark. */
  readonly mark: string;
  /** The directory; without it, `remote`. */
  readonly directory: string;
  readonly remote?: RemoteLab & RemotePlace;
}

/** A storage of a place. */
export function storageOf(
  { directory, remote, origin }: LogPlace,
  onLost: (error: unknown) => void = () => undefined,
): LogStorage {
  if (remote === undefined) return new PosixLogStorage(directory);
  const { host, port, database, user } = remote.postgres;
  const { sessionTimeoutMs, lockWaitMs = 0 } = remote;
  return new PostgresLogStorage({
    place: { host, port, database, user, password: () => "", sessionTimeoutMs, lockWaitMs },
    objects: createTestS3Client(remote),
    reader: new S3LogReader(createTestS3Client(remote)),
    origin,
    onLost,
  });
}

/** The place, for whoever comes after a killed writer: the database may need a while to see that it is gone. */
export function patient(place: LogPlace): LogPlace {
  const { remote } = place;
  return remote === undefined ? place : { ...place, remote: { ...remote, lockWaitMs: 60_000 } };
}

/** What readers see of a place. */
export function readerOf({ directory, remote }: LogPlace): LogReader {
  return remote === undefined ? new PosixLogReader(directory) : new S3LogReader(createTestS3Client(remote));
}

/** A client of the laboratory's object store. */
export function createTestS3Client({
  objects,
  prefix,
}: Pick<RemoteLab, "objects"> & { readonly prefix: string }): S3Client {
  const { endpoint, bucket, region, caFile, ...credentials } = objects;
  return new S3Client({
    endpoint,
    ca: readFileSync(caFile, "utf8"),
    bucket,
    prefix,
    timeoutMs: 10_000,
    retryForMs: 10_000,
    sign: (request) => signObjectRequest(request, credentials, { region, nowMs: Date.now() }),
  });
}

/** A sequencer over a place. */
export function sequencerOf(
  place: LogPlace,
  options: {
    readonly wrap?: (storage: LogStorage) => LogStorage;
    readonly onFatal?: (error: unknown) => void;
  } = {},
): Sequencer {
  const { wrap = (storage: LogStorage) => storage, onFatal = () => undefined } = options;
  const { origin, mark, directory } = place;
  return new Sequencer({
    origin,
    signer: createTestLogSigner(),
    storage: wrap(storageOf(place, onFatal)),
    highWater: createPosixHighWater({ path: mark, dataDirectory: directory }),
    now: () => 1_795_000_000,
    onFatal,
  });
}
