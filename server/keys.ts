/**
 * The keys of a deployment, and where they lie: sealed files in the data directory, under a key outside it.
 *
 * Made together at the first start, in a folder that appears whole or not at all. Whoever copies the data directory
 * has nothing that signs. Which of the authority's keys signs what is in the state store (`authority/keeper.ts`).
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AuthoritySlot } from "@trustwarden/core/agentid/authority-slots.ts";
import { parseTrustDomain, type TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import {
  encodeFirstAuthority,
  makeFirstAuthority,
  parseFirstAuthority,
} from "./authority/first-authority.ts";
import { KeyRing } from "./authority/key-ring.ts";
import { readAwsEnvironment, type ServerConfig, trustDomainFile } from "./config.ts";
import { createFirstLogKey, LogKeyFiles } from "./log-keys.ts";
import { parseAwsCredentials, readAwsCredentials } from "./signer/aws-credentials.ts";
import type { KmsPlace } from "./signer/aws-kms.ts";
import { KeyEncryptionKeys, type KeyEncryptionPlace } from "./signer/key-encryption.ts";
import { createPrivateDirectory, readPrivateFile, writePrivateFile } from "./signer/private-file.ts";
import { readSealedFile, writeSealedFile } from "./signer/sealed-file.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "./signer/software.ts";
import { openUnsealKey, type UnsealKey } from "./signer/unseal-key.ts";
import type { TokenAccess } from "./store/authority-ports.ts";

const PEOPLE_KEY_BYTES = 32;
const FIRST_AUTHORITY = "first-authority.json";

/** Everything that signs. */
export interface ServerKeys {
  readonly trustDomain: TrustDomain;
  /** Where the keys and what belongs to them lie. */
  readonly directory: string;
  readonly ring: KeyRing;
  /** What the trust domain began with. */
  readonly firstAuthority: readonly AuthoritySlot[];
  /** Unencrypted PKCS#8, for the writer's thread and for TLS; memory only. */
  readonly serverPkcs8: Uint8Array;
  readonly serverSigner: Signer;
  readonly logKeys: LogKeyFiles;
  /** Key-encryption keys of the secrets broker. */
  readonly secretKeys: KeyEncryptionKeys;
  /** Seals what names people; memory only. `isNew` where there was none before this start. */
  readonly peopleKey: { readonly key: Uint8Array; readonly isNew: boolean };
}

interface KeyPlace {
  readonly directory: string;
  /** Of the broker's key-encryption keys: what is in files is beside the unseal key. */
  readonly secretKeys: Pick<KeyEncryptionPlace, "directory" | "custody" | "token" | "kms">;
  readonly unsealKey: UnsealKey;
  readonly trustDomain: TrustDomain;
  readonly random: Random;
  readonly token: TokenAccess | null;
  readonly kms: KmsPlace | null;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * Opens the keys of the data directory, and makes them at the first start.
 *
 * @param options.nowMs - Unix milliseconds.
 * @throws TrustWardenError `seal_broken`, `file_mode_too_open`, `unseal_key_inside_data`, `svid_untrusted`, or
 *   `config_invalid` when the directory holds state but no keys; at the first start `signer_unavailable`.
 */
export async function openServerKeys(options: {
  readonly config: Pick<ServerConfig, "dataDir" | "configDir" | "trustDomain"> &
    Partial<Pick<ServerConfig, "signer" | "secretKeys">>;
  readonly random: Random;
  readonly nowMs: () => number;
}): Promise<ServerKeys> {
  const { config, random, nowMs } = options;
  const directory = join(config.dataDir, "keys");
  const isFirstStart = !existsSync(directory);
  if (isFirstStart && existsSync(join(config.dataDir, "state.db"))) {
    throw new TrustWardenError("config_invalid", { setting: "dataDir", reason: "state without keys" });
  }
  const unsealKey = openUnsealKey({ ...config, create: isFirstStart, random });
  const trustDomain = parseTrustDomain(config.trustDomain);
  const { signer } = config;
  const token = signer?.kind === "pkcs11" ? openToken(signer) : null;
  const kms = signer?.root === undefined ? null : openKms(signer.root, nowMs);
  const now = Math.floor(nowMs() / 1000);
  const secretKeys = openSecretKeys(config.secretKeys, {
    directory: join(config.configDir, `${trustDomain}.secret-keys`),
    nowMs,
  });
  const place = { directory, secretKeys, unsealKey, trustDomain, random, now, token, kms };
  if (isFirstStart) {
    // First, so that a directory with keys always says whose they are.
    writePrivateFile(trustDomainFile(config.dataDir), encodeUtf8(`${trustDomain}\n`));
    await createKeys(place);
  }
  return openKeys(place);
}

async function createKeys(place: KeyPlace): Promise<void> {
  const fresh = { ...place, directory: `${place.directory}.new` };
  // What an interrupted first start left behind was never used.
  rmSync(fresh.directory, { recursive: true, force: true });
  createPrivateDirectory(fresh.directory);
  writeSealedFile(serverKeyFile(fresh), createPrivateKeyPkcs8("ES256"));
  createFirstLogKey(fresh);
  const first = await makeFirstAuthority({ ...fresh, ring: new KeyRing(fresh) });
  writePrivateFile(join(fresh.directory, FIRST_AUTHORITY), encodeFirstAuthority(first));
  renameSync(fresh.directory, place.directory);
}

/** A new key for another log, in the place of the one that signed the old log. */
export function replaceLogKey(options: {
  readonly config: Pick<ServerConfig, "dataDir" | "configDir" | "trustDomain">;
  readonly random: Random;
}): void {
  const { config, random } = options;
  const unsealKey = openUnsealKey({ ...config, create: false, random });
  createFirstLogKey({ directory: join(config.dataDir, "keys"), unsealKey });
}

function openKeys(place: KeyPlace): ServerKeys {
  const { directory, trustDomain } = place;
  const serverPkcs8 = readSealedFile(serverKeyFile(place));
  return {
    trustDomain,
    directory,
    ring: new KeyRing(place),
    firstAuthority: parseFirstAuthority(readPrivateFile(join(directory, FIRST_AUTHORITY)), trustDomain),
    serverPkcs8,
    serverSigner: createSoftwareSigner(serverPkcs8),
    logKeys: new LogKeyFiles(place),
    secretKeys: new KeyEncryptionKeys({ ...place, ...place.secretKeys }),
    peopleKey: openPeopleKey(place),
  };
}

/** Deployments of before there were people get it at their next start. */
function openPeopleKey({ directory, unsealKey, random }: KeyPlace): ServerKeys["peopleKey"] {
  const file = { path: join(directory, "people.key"), purpose: "people-key", unsealKey };
  const isNew = !existsSync(file.path);
  if (isNew) writeSealedFile(file, random(PEOPLE_KEY_BYTES));
  return { key: readSealedFile(file), isNew };
}

/** The PIN is a secret file like any other, and never a setting. @throws TrustWardenError `file_mode_too_open`. */
function openToken({
  module,
  token,
  pinFile,
}: NonNullable<ServerConfig["secretKeys"]["pkcs11"]>): TokenAccess {
  return { module, token, pin: parseUtf8(readPrivateFile(pinFile)).trim() };
}

/** Nothing is asked yet: a server with its keys starts and serves also while KMS is away. */
function openKms(place: NonNullable<ServerConfig["secretKeys"]["awsKms"]>, nowMs: () => number): KmsPlace {
  const { region, keyId, endpoint, timeoutMs, credentialsFile: file } = place;
  const credentials = () =>
    file === undefined ? parseAwsCredentials(readAwsEnvironment()) : readAwsCredentials(file);
  return { region, keyId, endpoint, timeoutMs, credentials, nowMs };
}

function openSecretKeys(
  settings: ServerConfig["secretKeys"] | undefined,
  { directory, nowMs }: { readonly directory: string; readonly nowMs: () => number },
): KeyPlace["secretKeys"] {
  const { use = "sealed", pkcs11, awsKms } = settings ?? {};
  return {
    directory,
    custody: use,
    token: pkcs11 === undefined ? null : openToken(pkcs11),
    kms: awsKms === undefined ? null : openKms(awsKms, nowMs),
  };
}

/** The server's own, which is no authority's. */
function serverKeyFile({ directory, unsealKey }: Pick<KeyPlace, "directory" | "unsealKey">) {
  return { path: join(directory, "server.key"), purpose: "server-key", unsealKey };
}
