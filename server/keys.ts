/**
 * The keys of a deployment, and where they lie: sealed files in the data directory, under a key outside it.
 *
 * Made together at the first start, in a folder that appears whole or not at all. Whoever copies the data directory
 * has nothing that signs.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  type Authority,
  createAuthority,
  issueOnlineIntermediate,
  verifyAuthority,
} from "@trustwarden/core/agentid/authority.ts";
import { parseTrustDomain, type TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseCaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import {
  formatTrustBundle,
  parseTrustBundle,
  type TrustBundle,
} from "@trustwarden/core/agentid/trust-bundle.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { renewRootCrl } from "./authority/root-crl.ts";
import { type ServerConfig, trustDomainFile } from "./config.ts";
import { createPrivateDirectory, readPrivateFile, writePrivateFile } from "./signer/private-file.ts";
import { readSealedFile, writeSealedFile } from "./signer/sealed-file.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "./signer/software.ts";
import { openUnsealKey, type UnsealKey } from "./signer/unseal-key.ts";

/** A third of the intermediate's 90 days: room for a server that is restarted rarely. */
const RENEW_INTERMEDIATE_BEFORE_SECONDS = 30 * 86_400;
const ROLES = {
  root: "ES256",
  intermediate: "ES256",
  jwt: "ES256",
  server: "ES256",
  log: "Ed25519",
} as const satisfies Record<string, Signer["algorithm"]>;

type Role = keyof typeof ROLES;

/** Everything that signs, in memory. */
export interface ServerKeys {
  readonly authority: Authority;
  /** DER. */
  readonly rootCrl: Uint8Array;
  /** Unencrypted PKCS#8, for the writer's thread and for TLS; memory only. */
  readonly pkcs8: Readonly<Record<"intermediate" | "jwt" | "server", Uint8Array>>;
  readonly serverSigner: Signer;
  readonly logSigner: Signer;
}

interface KeyPlace {
  readonly directory: string;
  readonly unsealKey: UnsealKey;
  readonly trustDomain: TrustDomain;
  readonly random: Random;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * Opens the keys of the data directory, and makes them at the first start.
 *
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `seal_broken`, `file_mode_too_open`, `unseal_key_inside_data`, `svid_untrusted`, or
 *   `config_invalid` when the directory holds state but no keys.
 */
export function openServerKeys(options: {
  readonly config: Pick<ServerConfig, "dataDir" | "configDir" | "trustDomain">;
  readonly random: Random;
  readonly now: number;
}): ServerKeys {
  const { config, random, now } = options;
  const directory = join(config.dataDir, "keys");
  const isFirstStart = !existsSync(directory);
  if (isFirstStart && existsSync(join(config.dataDir, "state.db"))) {
    throw new TrustWardenError("config_invalid", { setting: "dataDir", reason: "state without keys" });
  }
  const unsealKey = openUnsealKey({ ...config, create: isFirstStart, random });
  const trustDomain = parseTrustDomain(config.trustDomain);
  const place = { directory, unsealKey, trustDomain, random, now };
  if (isFirstStart) {
    // First, so that a directory with keys always says whose they are.
    writePrivateFile(trustDomainFile(config.dataDir), encodeUtf8(`${trustDomain}\n`));
    createKeys(place);
  }
  return openKeys(place);
}

function createKeys(place: KeyPlace): void {
  const fresh = { ...place, directory: `${place.directory}.new` };
  // What an interrupted first start left behind was never used.
  rmSync(fresh.directory, { recursive: true, force: true });
  createPrivateDirectory(fresh.directory);
  for (const role of Object.keys(ROLES).filter(isRole)) {
    writeSealedFile(sealedFile(fresh, role), createPrivateKeyPkcs8(ROLES[role]));
  }
  const authority = createAuthority({
    trustDomain: place.trustDomain,
    rootSigner: signerOf(fresh, "root"),
    intermediateSigner: signerOf(fresh, "intermediate"),
    jwtSigner: signerOf(fresh, "jwt"),
    random: place.random,
    now: place.now,
  });
  writePrivateFile(join(fresh.directory, "intermediate.der"), authority.intermediate.der);
  writePrivateFile(join(fresh.directory, "bundle.json"), encodeUtf8(formatTrustBundle(authority.bundle)));
  renameSync(fresh.directory, place.directory);
}

function openKeys(place: KeyPlace): ServerKeys {
  const bundle = parseTrustBundle(
    parseUtf8(readPrivateFile(join(place.directory, "bundle.json"))),
    place.trustDomain,
  );
  renewIntermediate(place, bundle);
  const authority = verifyAuthority({
    bundle,
    intermediateDer: readPrivateFile(join(place.directory, "intermediate.der")),
    intermediateSigner: signerOf(place, "intermediate"),
    jwtSigner: signerOf(place, "jwt"),
    random: place.random,
    now: place.now,
  });
  return {
    authority,
    rootCrl: renewRootCrl({
      path: join(place.directory, "root-crl.der"),
      root: authority.root,
      rootSigner: signerOf(place, "root"),
      revoked: [],
      now: place.now,
      until: authority.intermediate.notAfter,
    }),
    pkcs8: {
      intermediate: readSealedFile(sealedFile(place, "intermediate")),
      jwt: readSealedFile(sealedFile(place, "jwt")),
      server: readSealedFile(sealedFile(place, "server")),
    },
    serverSigner: signerOf(place, "server"),
    logSigner: signerOf(place, "log"),
  };
}

/** The same key under a fresh certificate, in time: SVIDs that it signed before stay valid. */
function renewIntermediate(place: KeyPlace, bundle: TrustBundle): void {
  const path = join(place.directory, "intermediate.der");
  const { notAfter } = parseCaCertificate(readPrivateFile(path), place.trustDomain);
  if (notAfter - place.now > RENEW_INTERMEDIATE_BEFORE_SECONDS) return;
  const [root] = bundle.x509Authorities;
  if (root === undefined) throw new TrustWardenError("svid_untrusted", { reason: "the bundle has no root" });
  const der = issueOnlineIntermediate({
    trustDomain: place.trustDomain,
    root: parseCaCertificate(root.der, place.trustDomain),
    rootSigner: signerOf(place, "root"),
    intermediateSigner: signerOf(place, "intermediate"),
    random: place.random,
    now: place.now,
  });
  writePrivateFile(path, der);
}

function signerOf(place: KeyPlace, role: Role): Signer {
  return createSoftwareSigner(readSealedFile(sealedFile(place, role)));
}

function sealedFile({ directory, unsealKey }: KeyPlace, role: Role) {
  return { path: join(directory, `${role}.key`), purpose: `${role}-key`, unsealKey };
}

function isRole(name: string): name is Role {
  return Object.hasOwn(ROLES, name);
}
