/**
 * A connection to a PostgreSQL server as its administrator of roles: opened for one piece of work, and closed with it.
 *
 * The address is checked like that of every upstream. TLS with a verified certificate, but on this machine, where a
 * database may be spoken to in the clear. What PostgreSQL writes into its messages appears in no error, only its code.
 */
import { isIP, type LookupFunction } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Client, DatabaseError } from "pg";
import type { UpstreamState } from "../../store/gateway-ports.ts";

const CONNECT_TIMEOUT_MS = 5000;
/** Waiting for sessions to end is the longest. */
const STATEMENT_TIMEOUT_MS = 10_000;
const DEFAULT_PORT = 5432;

/** Where the server is, and who asks. Holds a secret: never logged. */
export interface DatabasePlace {
  readonly upstream: Pick<UpstreamState, "url" | "ca" | "allowPrivate">;
  readonly lookup: LookupFunction;
  readonly user: string;
  readonly password: string;
}

/** What the address of an upstream says. */
export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
}

/** @param url - of a registered upstream. */
export function addressOf(url: string): DatabaseAddress {
  const { hostname, port, pathname } = new URL(url);
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? DEFAULT_PORT : Number(port),
    database: pathname.slice(1),
  };
}

/** @throws TrustWardenError `upstream_unreachable` with PostgreSQL's code, `upstream_refused`, and what the work throws. */
export async function withAdministrator<Result>(
  place: DatabasePlace,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = await openClient(place);
  // Between two statements a broken connection says so here; the next statement fails.
  client.on("error", () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw error instanceof TrustWardenError ? error : unreachable(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function openClient({ upstream, lookup, user, password }: DatabasePlace): Promise<Client> {
  const { host, port, database } = addressOf(upstream.url);
  const address = isIP(host) === 0 ? await find(lookup, host) : host;
  const isLocal = upstream.allowPrivate && (address === "::1" || address.startsWith("127."));
  return new Client({
    host: address,
    port,
    database,
    user,
    password,
    application_name: "trustwarden",
    // Nothing that an agent made in the database may answer to a name that we use.
    options: "-c search_path=pg_catalog",
    ssl: isLocal && upstream.ca === null ? false : tlsTo(host, upstream.ca),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS,
  });
}

function tlsTo(host: string, ca: string | null) {
  const name = isIP(host) === 0 ? { servername: host } : {};
  return {
    ...name,
    host,
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(ca !== null && { ca }),
  } as const;
}

function find(lookup: LookupFunction, host: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  lookup(host, {}, (error, address) => {
    if (error === null && typeof address === "string") resolve(address);
    else reject(error instanceof TrustWardenError ? error : unreachable(error));
  });
  return promise;
}

function unreachable(error: unknown): TrustWardenError {
  const sqlstate = error instanceof DatabaseError ? (error.code ?? null) : null;
  return new TrustWardenError("upstream_unreachable", { sqlstate });
}
