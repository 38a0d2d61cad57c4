/**
 * Where the ledger is kept: on this machine's disk, or in PostgreSQL and an S3-compatible object store.
 *
 * Passwords and keys are in files of their own, never in a setting. Beyond this machine everything goes over TLS; there
 * is no setting against it.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { z } from "zod";
import { isLoopback } from "../loopback.ts";

/** Without TLS on this machine only. */
const ENDPOINT =
  /^(?:https:\/\/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|http:\/\/127\.0\.0\.1)(?::[1-9][0-9]{0,4})?$/;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^(?:[a-z0-9][a-z0-9._-]{0,127}\/){0,8}$/;

const path = z.string().min(1).max(4096);
const name = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/);

/** A login at PostgreSQL, and how long its session lasts. */
export const postgresSettings = z.strictObject({
  host: z
    .string()
    .regex(/^(?:\/[\x21-\x7e]{1,90}|[a-z0-9.:-]{1,253})$/)
    .describe("a name, an address, or the directory of a Unix socket"),
  port: z.number().int().min(1).max(65_535).default(5432),
  database: name,
  user: name,
  passwordFile: path.optional(),
  tls: z
    .strictObject({ caFile: path, certFile: path.optional(), keyFile: path.optional() })
    .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), {
      message: "a certificate and its key come together",
    })
    .optional(),
  sessionTimeoutMs: z
    .number()
    .int()
    .min(1000)
    .max(600_000)
    .default(30_000)
    .describe("a writer that is silent for so long has lost its place"),
});

const objects = z.strictObject({
  endpoint: z.string().regex(ENDPOINT),
  region: z.string().regex(/^[a-z0-9-]{1,64}$/),
  bucket: z.string().regex(BUCKET),
  prefix: z.string().regex(PREFIX).default("").describe("ends in a slash"),
  credentialsFile: path.optional().describe("else AWS_ACCESS_KEY_ID and its companions"),
  caFile: path.optional(),
  timeoutMs: z.number().int().min(100).max(60_000).default(10_000),
  retryForMs: z.number().int().min(0).max(600_000).default(60_000),
});

const shards = z
  .enum(["quarterly", "manual"])
  .default("quarterly")
  .describe("whether a shard ends with its quarter, by the server's clock, or only when an operator says so");

/** Of `ledger` in the configuration. */
export const ledgerSettings = z.discriminatedUnion("storage", [
  z.strictObject({
    storage: z.literal("posix"),
    directory: path.optional().describe("`ledger` in the data directory unless given"),
    shards,
  }),
  z.strictObject({ storage: z.literal("postgres"), postgres: postgresSettings, objects, shards }),
]);

/** A ledger outside of this machine. */
export type RemoteLedger = Extract<z.output<typeof ledgerSettings>, { readonly storage: "postgres" }>;

/** @throws TrustWardenError `config_invalid` for a database beyond this machine without TLS. */
export function requireProtectedLedger(ledger: z.output<typeof ledgerSettings>): void {
  if (ledger.storage === "posix") return;
  requireProtected(ledger.postgres, "ledger.postgres");
}

/**
 * @param setting - which one names the database.
 * @throws TrustWardenError `config_invalid` for a database beyond this machine without TLS.
 */
export function requireProtected(
  { host, tls }: Pick<z.output<typeof postgresSettings>, "host" | "tls">,
  setting: string,
): void {
  if (tls !== undefined || host.startsWith("/") || isLoopback(host)) return;
  const reason = "the database is not on this machine";
  throw new TrustWardenError("config_invalid", { setting: `${setting}.tls`, reason });
}
