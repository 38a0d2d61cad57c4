/**
 * The files of a witness: its key, its name, its memory, and the contradictions that it was shown.
 *
 *   witness.pem     Ed25519, PKCS#8, readable by its user only     witness.vkey    what others need to check it
 *   witness.db      one note per log                                evidence/       pairs of notes that cannot both be true
 *   ends/           what named the next key of a log that has ended, with its proof: a longer tree of that log is in evidence/
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  ALGORITHM_COSIGNATURE,
  createNoteSigner,
  formatVkey,
  type NoteSigner,
  parseVkey,
  rawEd25519Key,
  requireKeyName,
} from "@trustwarden/core/agentledger/signed-note.ts";
import { originHash } from "@trustwarden/core/agentledger/witness.ts";
import { encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { readTextFile } from "../text-file.ts";
import { WitnessStore } from "./witness-store.ts";

/** Permission bits of group and others. */
const OTHERS = 0o077;
/** One pair convicts a log; whoever holds a log's key could fill a disk with more. */
const MAX_CONTRADICTIONS = 64;

/** A witness on this machine. */
export interface WitnessDirectory {
  readonly vkey: string;
  readonly signer: NoteSigner;
  readonly store: WitnessStore;
  /** Keeps two notes of one log that cannot both be true; the file, or null when there are many already. */
  readonly keepContradiction: (notes: readonly [string, string]) => string | null;
  /** Keeps what ended a log, as it was announced and taken; the first of each, since a tree has one last leaf. */
  readonly keepEnd: (origin: string, announcement: string) => void;
}

/**
 * Makes a new witness; its vkey.
 *
 * @throws TrustWardenError `usage` when there is one already, `checkpoint_malformed` for an impossible name.
 */
export function createWitnessDirectory(directory: string, name: string): string {
  requireKeyName(name);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  requirePrivate(directory);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const vkey = formatVkey(name, rawEd25519Key(publicKey), ALGORITHM_COSIGNATURE);
  writeNew(join(directory, "witness.pem"), privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  writeNew(join(directory, "witness.vkey"), `${vkey}\n`);
  WitnessStore.create(join(directory, "witness.db"));
  return vkey;
}

/**
 * Opens a witness; the caller closes its store.
 *
 * @throws TrustWardenError `not_found`, `file_mode_too_open`, `config_invalid` when key and vkey do not belong together.
 */
export function openWitnessDirectory(directory: string): WitnessDirectory {
  const keyFile = join(directory, "witness.pem");
  const vkey = readTextFile(join(directory, "witness.vkey")).trim();
  const pem = readTextFile(keyFile);
  requirePrivate(directory);
  requirePrivate(keyFile);
  const privateKey = createPrivateKey(pem);
  const { name } = parseVkey(vkey);
  const signer = createNoteSigner({
    name,
    algorithm: ALGORITHM_COSIGNATURE,
    signer: {
      algorithm: "Ed25519",
      publicKey: createPublicKey(privateKey),
      sign: (data) => sign(null, data, privateKey),
    },
  });
  if (formatVkey(name, rawEd25519Key(signer.signer.publicKey), ALGORITHM_COSIGNATURE) !== vkey)
    throw new TrustWardenError("config_invalid", { setting: "witness.vkey" });
  return {
    vkey,
    signer,
    store: WitnessStore.open(join(directory, "witness.db")),
    keepContradiction: (notes) => keepContradiction(join(directory, "evidence"), notes),
    keepEnd: (origin, announcement) => keepEnd(join(directory, "ends"), origin, announcement),
  };
}

function keepContradiction(directory: string, notes: readonly [string, string]): string | null {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (readdirSync(directory).length >= MAX_CONTRADICTIONS) return null;
  const text = notes.join("\n");
  const file = join(directory, `${encodeHex(sha256(encodeUtf8(text))).slice(0, 32)}.notes`);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

function keepEnd(directory: string, origin: string, announcement: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, `${originHash(origin)}.txt`);
  if (existsSync(file)) return;
  // Whole or not at all: half of one, left by a full disk, would stand in the place of every later one.
  const temporary = `${file}.new`;
  writeFileSync(temporary, announcement, { mode: 0o600, flush: true });
  renameSync(temporary, file);
}

function requirePrivate(path: string): void {
  if ((statSync(path).mode & OTHERS) !== 0) throw new TrustWardenError("file_mode_too_open", { path });
}

function writeNew(path: string, text: string): void {
  if (existsSync(path)) throw new TrustWardenError("usage", { why: `${path} is there already` });
  writeFileSync(path, text, { mode: 0o600, flag: "wx", flush: true });
}
