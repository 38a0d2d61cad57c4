/**
 * Owner keys on this machine: `<configDir>/owners/<name>.pem` (P-256, PKCS#8, 0600, in a 0700 directory) and beside it
 * `<name>.json`, what the key is good for: whose it is and which server it belongs to.
 *
 * The key signs tickets and requests here and never leaves; it is never inside a server's data directory.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { type Paths, requireOutsideData } from "./paths.ts";

const OWNER_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** Permission bits of group and others. */
const OTHERS = 0o077;

/** What `<name>.json` says; nothing in it is secret. */
export interface OwnerProfile {
  readonly ownerId: string;
  readonly name: string;
  readonly trustDomain: string;
  readonly serverUrl: string;
  readonly stopUrl: string;
  /** Digest of the trust bundle's authorities: what the server must prove on first contact. */
  readonly authoritiesSha256: string;
}

/** An owner whose key is on this machine. */
export interface LocalOwner {
  readonly profile: OwnerProfile;
  readonly signer: Signer;
  /** base64url SHA-256 of the SPKI; names the key in envelopes. */
  readonly keyid: string;
}

/** A key that exists on disk but is not yet registered with a server. */
export interface NewOwnerKey {
  readonly spki: Uint8Array;
  /** Writes the profile; the owner is then usable. */
  readonly keep: (profile: OwnerProfile) => void;
  /** Removes the key again, when the server refused it. */
  readonly discard: () => void;
}

/**
 * Makes and stores a new key.
 *
 * @throws TrustWardenError `usage`, `owner_exists`, `file_mode_too_open` or `unseal_key_inside_data`.
 */
export function createOwnerKey(paths: Paths, name: string): NewOwnerKey {
  requireOwnerName(name);
  requireOutsideData(paths);
  mkdirSync(paths.ownersDir, { recursive: true, mode: 0o700 });
  requirePrivate(paths.ownersDir);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { keyFile, profileFile } = filesOf(paths, name);
  writeNew(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }));
  return {
    spki: encodeSpki(publicKey),
    keep: (profile) => writeNew(profileFile, `${JSON.stringify(profileJson(profile), null, 2)}\n`),
    discard: () => rmSync(keyFile, { force: true }),
  };
}

/**
 * The owner of that name, if its key is here and nobody else can read it.
 *
 * @throws TrustWardenError `usage`, `owner_unknown`, `file_mode_too_open`, `unseal_key_inside_data` or `config_invalid`.
 */
export function openOwner(paths: Paths, name: string): LocalOwner {
  requireOwnerName(name);
  requireOutsideData(paths);
  const { keyFile, profileFile } = filesOf(paths, name);
  requirePrivate(dirname(keyFile));
  requirePrivate(keyFile);
  const privateKey = parsePrivateKey(keyFile);
  const publicKey = createPublicKey(privateKey);
  return {
    profile: parseProfile(profileFile),
    keyid: encodeBase64url(sha256(encodeSpki(publicKey))),
    signer: {
      algorithm: "ES256",
      publicKey,
      sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
    },
  };
}

/**
 * Refuses a secret that its group or the world may read or replace.
 *
 * @throws TrustWardenError `file_mode_too_open`, or `owner_unknown` when it is not there.
 */
function requirePrivate(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new TrustWardenError("owner_unknown", { why: `${path} does not exist` });
  if (found.isSymbolicLink() || (found.mode & OTHERS) !== 0) {
    const mode = (found.mode & 0o777).toString(8);
    throw new TrustWardenError("file_mode_too_open", { why: `${path} has mode ${mode}`, path });
  }
}

function requireOwnerName(name: string): void {
  if (OWNER_NAME.test(name)) return;
  throw new TrustWardenError("name_malformed", { why: "an owner's name is like alice or acme-finance" });
}

function filesOf(paths: Paths, name: string): { readonly keyFile: string; readonly profileFile: string } {
  return {
    keyFile: join(paths.ownersDir, `${name}.pem`),
    profileFile: join(paths.ownersDir, `${name}.json`),
  };
}

function writeNew(path: string, text: string | Buffer): void {
  try {
    writeFileSync(path, text, { mode: 0o600, flag: "wx" });
  } catch (cause) {
    throw new TrustWardenError("owner_exists", { why: `${path} could not be created, or exists` }, { cause });
  }
}

function parsePrivateKey(path: string): KeyObject {
  try {
    const key = createPrivateKey(readFileSync(path));
    if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { why: `${path} is not a private key` }, { cause });
  }
  throw new TrustWardenError("config_invalid", { why: `${path} is not a P-256 key` });
}

function parseProfile(path: string): OwnerProfile {
  const json = readProfile(path);
  const text = (member: string): string => {
    const value = json[member];
    if (typeof value === "string") return value;
    throw new TrustWardenError("config_invalid", { why: `${path} lacks ${member}` });
  };
  return {
    ownerId: text("owner_id"),
    name: text("name"),
    trustDomain: text("trust_domain"),
    serverUrl: text("server_url"),
    stopUrl: text("stop_url"),
    authoritiesSha256: text("authorities_sha256"),
  };
}

function readProfile(path: string): JsonObject {
  try {
    return parseJsonObject(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { why: `${path} could not be read` }, { cause });
  }
}

function profileJson(profile: OwnerProfile): JsonObject {
  return {
    owner_id: profile.ownerId,
    name: profile.name,
    trust_domain: profile.trustDomain,
    server_url: profile.serverUrl,
    stop_url: profile.stopUrl,
    authorities_sha256: profile.authoritiesSha256,
  };
}
