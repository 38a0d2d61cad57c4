/** Makes the ledger's storage of the configuration: on this machine's disk, or in a database and an object store. */
import { join } from "node:path";
import type { LogReader, LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { type ShardName, shardFolder } from "@trustwarden/core/agentledger/shard.ts";
import { readAwsEnvironment, type ServerConfig } from "./config.ts";
import type { RemoteLedger } from "./ledger/config.ts";
import { parseAwsCredentials, readAwsCredentials } from "./signer/aws-credentials.ts";
import { type AwsCredentials, signObjectRequest } from "./signer/aws-signature.ts";
import { readPrivateFile } from "./signer/private-file.ts";
import { PosixLogReader, PosixLogStorage } from "./store/posix-log.ts";
import type { HighWaterPlace } from "./store/posix-log-high-water.ts";
import { PostgresLogStorage } from "./store/postgres-log.ts";
import type { PostgresPlace } from "./store/postgres-log-session.ts";
import { openPostgresLogin, readPublicFile } from "./store/postgres-login.ts";
import { S3Client } from "./store/s3-client.ts";
import { S3LogReader } from "./store/s3-objects.ts";

/** A server that is started again at once after a crash finds its own lock for a moment. */
const LOCK_WAIT_MS = 5000;

/** A server that waits for its turn to sequence asks again and again, and ends in between when it is told to. */
const SEAT_WAIT_MS = 1000;

/** Whoever asks for a tile is told soon that there is trouble; only the writer waits for its end. */
const READ_RETRY_MS = 2000;

/** The two sides of a ledger's storage. */
export interface LedgerStorage {
  readonly storage: LogStorage;
  readonly reader: LogReader;
  /** Ends what the reader holds open. */
  readonly close: () => void;
}

/**
 * The storage that the configuration names; nothing is asked yet.
 *
 * @param options.onLost - called once when another process is the writer: this one must stop.
 * @throws TrustWardenError `config_invalid`, `file_mode_too_open`.
 */
export function createLedgerStorage(
  config: Pick<ServerConfig, "dataDir" | "ledger"> & Partial<Pick<ServerConfig, "state">>,
  options: {
    /** Of the shard. */
    readonly origin: string;
    /** The first one unless given. */
    readonly shard?: ShardName;
    /** Of requests' signatures, Unix milliseconds: the store refuses what is minutes off its own clock. */
    readonly nowMs: () => number;
    readonly onLost: (error: unknown) => void;
  },
): LedgerStorage {
  const { ledger, dataDir, state } = config;
  const { origin, onLost, nowMs, shard = null } = options;
  if (ledger.storage === "posix") {
    const directory = join(ledger.directory ?? join(dataDir, "ledger"), shardFolder(shard));
    return {
      storage: new PosixLogStorage(directory),
      reader: new PosixLogReader(directory),
      close: () => undefined,
    };
  }
  const place = placeOf(ledger.postgres, lockWaitMsOf(state));
  const settings = { ...ledger.objects, prefix: ledger.objects.prefix + shardFolder(shard) };
  const retryForMs = Math.min(settings.retryForMs, READ_RETRY_MS);
  const readers = createS3Client({ ...settings, retryForMs }, nowMs);
  const reader = new S3LogReader(readers);
  const objects = createS3Client(settings, nowMs);
  return {
    storage: new PostgresLogStorage({ place, objects, reader, origin, onLost }),
    reader,
    close: () => readers.close(),
  };
}

/** Where the mark of a deployment is kept, outside of its data directory. */
export function highWaterPlaceOf({
  configDir,
  trustDomain,
  dataDir,
}: Pick<ServerConfig, "configDir" | "trustDomain" | "dataDir">): HighWaterPlace {
  return { path: join(configDir, `${trustDomain}.high-water`), dataDirectory: dataDir };
}

function lockWaitMsOf(state: ServerConfig["state"] | undefined): number {
  if (state?.storage !== "postgres") return LOCK_WAIT_MS;
  if (state.standby) return Number.POSITIVE_INFINITY;
  return state.servers === "many" ? SEAT_WAIT_MS : LOCK_WAIT_MS;
}

function placeOf(
  { sessionTimeoutMs, ...login }: RemoteLedger["postgres"],
  lockWaitMs: number,
): PostgresPlace {
  return { ...openPostgresLogin(login, "ledger.postgres", readPrivateFile), sessionTimeoutMs, lockWaitMs };
}

/** Credentials are read at every request: temporary ones are renewed in place. */
function createS3Client(objects: RemoteLedger["objects"], nowMs: () => number): S3Client {
  const { region, credentialsFile: file, caFile, ...place } = objects;
  const credentials = (): AwsCredentials =>
    file === undefined ? parseAwsCredentials(readAwsEnvironment()) : readAwsCredentials(file);
  return new S3Client({
    ...place,
    ca: caFile === undefined ? undefined : readPublicFile("ledger.objects.caFile", caFile),
    sign: (request) => signObjectRequest(request, credentials(), { region, nowMs: nowMs() }),
  });
}
