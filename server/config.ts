/**
 * The configuration of the server: flags, then environment, then one JSON file, then defaults.
 *
 * The only file of the server that reads the environment. Nothing here is executed: the file is JSON, parsed as
 * strictly as a request. TLS and authentication cannot be switched off, so there is no setting for them.
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { HTTPS_ORIGIN } from "@trustwarden/core/https-origin.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { z } from "zod";
import { attestationSettings } from "./attest/config.ts";
import { backupSettings } from "./backup/config.ts";
import { consoleSettings } from "./console/config.ts";
import { intakeSettings } from "./intake/config.ts";
import { ledgerSettings, requireProtectedLedger } from "./ledger/config.ts";
import { isLoopback } from "./loopback.ts";
import { metricsSettings, requireProtectedMetrics } from "./metrics/config.ts";
import { grantSettings } from "./oauth/config.ts";
import { policySettings } from "./opa/config.ts";
import { requireShareable } from "./shared/shareable.ts";
import { sinkSettings } from "./sinks/config.ts";
import { requireProtectedState, stateSettings } from "./state-config.ts";
import { requireProtectedTraces, tracesSettings } from "./traces/config.ts";
import { witnessSettings } from "./witnessing/config.ts";

/** Room for the certificates of every region of a cloud. */
const MAX_FILE_CHARS = 262_144;
const DEFAULT_TRUST_DOMAIN = "trustwarden.localhost";
const POLICIES = fileURLToPath(new URL("../policies/", import.meta.url));

const port = z.coerce.number().int().min(0).max(65_535);
const count = z.coerce.number().int().min(1).max(10_000_000);
const flag = z.union([z.boolean(), z.enum(["true", "false"]).transform((text) => text === "true")]);
const directory = z.string().min(1).max(4096);

/** An origin other than AWS's own, such as a private endpoint; without TLS on this machine only, where tests serve. */
const KMS_ENDPOINT =
  /^(?:https:\/\/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|http:\/\/127\.0\.0\.1)(?::[1-9][0-9]{0,4})?$/;

/** A key in a cloud, and who asks for it. */
const kmsKey = z.strictObject({
  region: z.string().regex(/^[a-z]{2,4}(?:-[a-z]{1,16}){1,3}-[0-9]{1,2}$/),
  keyId: z
    .string()
    .regex(/^[A-Za-z0-9:/_-]{1,512}$/)
    .describe("id, ARN or alias: an ECC_NIST_P256 key for a root, a SYMMETRIC_DEFAULT key for secrets"),
  credentialsFile: directory.optional().describe("else AWS_ACCESS_KEY_ID and its companions"),
  endpoint: z.string().regex(KMS_ENDPOINT).optional(),
  timeoutMs: z.number().int().min(100).max(60_000).default(10_000),
});

/** A hardware token; the PIN is in a file, and never a setting. */
const tokenPlace = z.strictObject({
  module: directory.describe("path of the token's library"),
  token: z.string().min(1).max(32).describe("the token's label"),
  pinFile: directory,
});

/** The root's key in a cloud, where the online keys cannot be (docs/decisions/0004). */
const rootSigner = kmsKey.extend({ kind: z.literal("aws-kms") }).optional();

/** Where the key-encryption keys of secrets are made. What is not in use is named for the keys of before. */
const secretKeys = z
  .strictObject({
    use: z.enum(["sealed", "pkcs11", "aws-kms"]).default("sealed"),
    pkcs11: tokenPlace.optional(),
    awsKms: kmsKey.optional(),
  })
  .refine(({ use, pkcs11 }) => use !== "pkcs11" || pkcs11 !== undefined, { path: ["pkcs11"] })
  .refine(({ use, awsKms }) => use !== "aws-kms" || awsKms !== undefined, { path: ["awsKms"] });

const settings = z.strictObject({
  dataDir: directory,
  configDir: directory,
  trustDomain: z.string().min(1).max(255).default(DEFAULT_TRUST_DOMAIN),
  host: z.string().min(1).max(255).default("127.0.0.1"),
  port: port.default(7443),
  stopPort: port.default(7444),
  allowExternal: flag.default(false),
  /** Further names by which clients may call this server; the Host header is checked against the list. */
  hosts: z.array(z.string().min(1).max(255)).max(32).default([]),
  logLevel: z.enum(["fatal", "error", "warn", "info", "debug", "silent"]).default("info"),
  delegationMode: z.enum(["strict", "narrowing"]).default("strict"),
  quotas: z
    .strictObject({
      agentsPerOwner: count.default(10_000),
      liveInstancesPerOwner: count.default(10_000),
      issuesPerOwnerPerHour: count.default(100_000),
      /** New agents without a parent; one more within the minute brings work. */
      easyAgentsPerOwnerPerMinute: count.default(120),
    })
    .prefault({}),
  /** What is worth an alarm in the log and the ledger; nothing is refused by it. */
  alarms: z.strictObject({ agentsPerOwner: count.default(50) }).prefault({}),
  /** Which evidence of platforms is accepted; nothing by default. See docs/guides/attestation.md. */
  attestation: attestationSettings.prefault({}),
  /** Custom policies, and who may ask ours from outside. See docs/guides/policy.md. */
  policy: policySettings.prefault({}),
  workloadApi: z
    .strictObject({
      /** Issues WIT-SVIDs too: SPIFFE's profile for proof of possession, which is still being written. */
      witSvid: flag.default(false),
    })
    .prefault({}),
  /** `iss` of JWT-SVIDs; an https origin at which the web listener, or whoever copies from it, answers. */
  jwtIssuer: z.string().max(512).regex(HTTPS_ORIGIN).optional(),
  oauth: z
    .strictObject({
      /** Origin at which clients reach the main listener, when it is not the one that the server listens at. */
      url: z.string().max(512).regex(HTTPS_ORIGIN).optional(),
      ...grantSettings,
    })
    .prefault({}),
  federation: z
    .strictObject({
      /** A listener with a certificate of the web, for what is public. */
      web: z
        .strictObject({
          host: z.string().min(1).max(255).default("127.0.0.1"),
          port: port.default(8443),
          certFile: directory,
          keyFile: directory,
        })
        .optional(),
    })
    .prefault({}),
  /** How much agents may ask for, and how much may wait. See docs/guides/limits.md. */
  intake: intakeSettings.prefault({}),
  /** Where events go besides the ledger. See docs/guides/exports.md. */
  sinks: sinkSettings.default([]),
  /** Where sinks begin at this start, whatever they kept; for the command line, since each start would begin there again. */
  sinkFrom: z.record(z.string(), z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)).default({}),
  /** A listener for browsers of people; off unless it is set. See docs/guides/people.md. */
  console: consoleSettings.nullable().default(null),
  /** A listener for calls to upstreams; off unless it is set. */
  gateway: z
    .strictObject({ host: z.string().min(1).max(255).default("127.0.0.1"), port: port.default(7445) })
    .optional(),
  /** A listener for Prometheus; off unless it is set. See docs/guides/operations.md. */
  metrics: metricsSettings.optional(),
  /** Where spans go; nowhere unless it is set. See docs/guides/operations.md. */
  traces: tracesSettings.optional(),
  /** Where the authority's keys are made and sign; keys of before stay where they are. */
  signer: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("sealed"), root: rootSigner }),
      tokenPlace.extend({ kind: z.literal("pkcs11"), root: rootSigner }),
    ])
    .prefault({ kind: "sealed" }),
  /** Who countersigns the ledger; nobody unless it is set. See docs/guides/witnesses.md. */
  witnesses: witnessSettings.optional(),
  /** Where the ledger is kept. See docs/guides/ledger-storage.md. */
  ledger: ledgerSettings.prefault({ storage: "posix" }),
  /** Where the state is kept. See docs/guides/state-storage.md. */
  state: stateSettings.prefault({ storage: "sqlite" }),
  secretKeys: secretKeys.prefault({}),
  /** Where backups that are ordered from the server go, and who may open them. See docs/guides/backup.md. */
  backup: backupSettings.optional(),
  /** What upstreams with `disclose: full` have the server keep. See docs/guides/llm-gateway.md. */
  payloads: z
    .strictObject({
      /** Older ones are erased, each with an event; unless it is set, only somebody erases them. */
      retentionDays: z.number().int().min(1).max(36_500).optional(),
    })
    .prefault({}),
  /** Holds the compiled policy, its manifest and its data. */
  policyDir: directory.default(POLICIES),
});

/** Everything that a server needs to be told; immutable after loading. */
export type ServerConfig = Readonly<z.output<typeof settings>>;
/** What may be given; everything has a default. */
export type ServerSettings = Partial<z.input<typeof settings>>;

/** Environment variable of each setting that has one. */
const ENVIRONMENT = {
  TRUSTWARDEN_DATA_DIR: "dataDir",
  TRUSTWARDEN_CONFIG_DIR: "configDir",
  TRUSTWARDEN_TRUST_DOMAIN: "trustDomain",
  TRUSTWARDEN_HOST: "host",
  TRUSTWARDEN_PORT: "port",
  TRUSTWARDEN_STOP_PORT: "stopPort",
  TRUSTWARDEN_ALLOW_EXTERNAL: "allowExternal",
  TRUSTWARDEN_LOG_LEVEL: "logLevel",
  TRUSTWARDEN_DELEGATION_MODE: "delegationMode",
  TRUSTWARDEN_POLICY_DIR: "policyDir",
  TRUSTWARDEN_JWT_ISSUER: "jwtIssuer",
} as const;

const WEAKEN = "TW_WEAKEN";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The configuration from all its sources.
 *
 * @param options.flags - strongest; what the command line said.
 * @param options.file - path of the JSON file; without it, `server.json` in the configuration directory, if there.
 * @throws TrustWardenError `config_invalid` with the setting's name, or `bind_refused`.
 */
export function loadConfig(
  options: {
    readonly flags?: ServerSettings;
    readonly file?: string;
    readonly environment?: Environment;
  } = {},
): ServerConfig {
  const environment = options.environment ?? process.env;
  requireUnweakened(environment);
  const flags = withoutUndefined(options.flags ?? {});
  const named = { ...fromEnvironment(environment), ...flags };
  const configDir = String(named.configDir ?? defaultConfigDir(environment));
  const file = readSettings(options.file ?? join(configDir, "server.json"), {
    isRequired: options.file !== undefined,
  });
  const dataDir = resolve(String(named.dataDir ?? file.dataDir ?? defaultDataDir(environment)));
  const config = parseConfig({
    ...rememberedTrustDomain(dataDir),
    ...file,
    ...named,
    configDir: resolve(configDir),
    dataDir,
  });
  requireSameTrustDomain(config);
  return config;
}

/**
 * A valid configuration of loose settings.
 *
 * @throws TrustWardenError `config_invalid` or `bind_refused`.
 */
export function parseConfig(input: unknown): ServerConfig {
  const parsed = settings.safeParse(input);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new TrustWardenError("config_invalid", {
      setting: issue?.path.join(".") ?? "",
      reason: issue?.message ?? "",
    });
  }
  requireTrustDomain(parsed.data.trustDomain);
  requireAllowedHost(parsed.data.host, parsed.data);
  const { federation, policy, gateway, metrics, console } = parsed.data;
  for (const listener of [federation.web, policy.listener, policy.envoy, gateway, metrics, console]) {
    if (listener !== undefined && listener !== null) requireAllowedHost(listener.host, parsed.data);
  }
  requireProtectedMetrics(metrics);
  requireProtectedTraces(parsed.data.traces);
  requireProtectedLedger(parsed.data.ledger);
  requireProtectedState(parsed.data.state, parsed.data.ledger);
  requireShareable(parsed.data);
  return parsed.data;
}

/** `iss` of JWT-SVIDs: where the web finds their keys. */
export function jwtIssuerOf({
  jwtIssuer,
  trustDomain,
}: Pick<ServerConfig, "jwtIssuer" | "trustDomain">): string {
  return jwtIssuer ?? `https://${trustDomain}`;
}

/** AWS's own variables, for KMS or an object store without a file of credentials. Secret: read when asked, kept nowhere. */
export function readAwsEnvironment(environment: Environment = process.env) {
  return {
    accessKeyId: environment.AWS_ACCESS_KEY_ID,
    secretAccessKey: environment.AWS_SECRET_ACCESS_KEY,
    sessionToken: environment.AWS_SESSION_TOKEN,
  };
}

/** The file in which a data directory says whose it is; written once, with its keys. */
export function trustDomainFile(dataDir: string): string {
  return join(dataDir, "trust-domain");
}

/** Where the unseal key and the owner keys live by default. */
export function defaultConfigDir(environment: Environment): string {
  return join(xdg(environment, "XDG_CONFIG_HOME", ".config"), "trustwarden");
}

/** Where the state and the ledger live by default. */
export function defaultDataDir(environment: Environment): string {
  return join(xdg(environment, "XDG_DATA_HOME", join(".local", "share")), "trustwarden");
}

/** The XDG rule: a relative path in the variable is ignored. */
function xdg(environment: Environment, variable: string, fallback: string): string {
  const given = environment[variable];
  return given !== undefined && isAbsolute(given) ? given : join(environment.HOME ?? homedir(), fallback);
}

function fromEnvironment(environment: Environment): Record<string, unknown> {
  const found = Object.entries(ENVIRONMENT).map(([variable, setting]) => [setting, environment[variable]]);
  return withoutUndefined(Object.fromEntries(found));
}

function withoutUndefined(input: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
}

function readSettings(path: string, { isRequired }: { readonly isRequired: boolean }): JsonObject {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    // The default file may be absent; a file that somebody named may not.
    if (!isRequired && isMissing(cause)) return {};
    throw new TrustWardenError("config_invalid", { setting: "file", reason: "cannot be read" }, { cause });
  }
  try {
    return parseJsonObject(text, MAX_FILE_CHARS);
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting: "file", reason: "not strict JSON" }, { cause });
  }
}

/** The trust domain of a data directory that was used before, so that nobody has to say it twice. */
function rememberedTrustDomain(dataDir: string): { readonly trustDomain?: string } {
  try {
    return { trustDomain: readFileSync(trustDomainFile(dataDir), "utf8").trim() };
  } catch (cause) {
    if (isMissing(cause)) return {};
    throw new TrustWardenError("config_invalid", { setting: "dataDir", reason: "cannot be read" }, { cause });
  }
}

/** A data directory belongs to one trust domain for ever: its keys certify no other. */
function requireSameTrustDomain({ dataDir, trustDomain }: ServerConfig): void {
  const remembered = rememberedTrustDomain(dataDir).trustDomain ?? trustDomain;
  if (remembered === trustDomain) return;
  throw new TrustWardenError("config_invalid", {
    setting: "trustDomain",
    reason: `the data directory is of ${remembered}`,
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function requireTrustDomain(trustDomain: string): void {
  try {
    parseTrustDomain(trustDomain);
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting: "trustDomain" }, { cause });
  }
}

/** Only the loader of the attack suite, which deletes the variable, knows weakenings: whoever set it expects one. */
function requireUnweakened(environment: Environment): void {
  if (environment[WEAKEN] === undefined) return;
  throw new TrustWardenError("config_invalid", {
    setting: WEAKEN,
    reason: "only the attack suite has weakenings",
  });
}

/** A server that somebody starts without thought answers to this machine only. */
function requireAllowedHost(host: string, { allowExternal }: Pick<ServerConfig, "allowExternal">): void {
  if (!isLoopback(host) && !allowExternal) throw new TrustWardenError("bind_refused", { host });
}
