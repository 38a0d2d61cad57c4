/**
 * What operators keep of calls besides the commitments in the ledger: encrypted, one file and one data key for each
 * event, so that one can be erased and the ledger still verifies.
 *
 * The data keys are under a key of this store, and that is under the broker's key-encryption key: its rotation has one
 * key to bring along. Erasing overwrites the data key before the file goes. When a payload was kept stands in its file, in
 * the clear and bound to its seals: a file's own dates do not survive every backup, and retention goes by it.
 *
 * @see docs/decisions/0022-model-calls.md; ATTACKS.md I12
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  concatBytes,
  encodeBase64url,
  encodeHex,
  encodeUtf8,
  parseBase64url,
  parseUtf8,
} from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { parseEventId, type Random } from "@trustwarden/core/id.ts";
import { encodeCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";
import type { KeyEncryption } from "../broker/ports.ts";
import { createPrivateDirectory, readPrivateFile, writePrivateFile } from "../signer/private-file.ts";
import { UnsealKey } from "../signer/unseal-key.ts";
import { replaceFile, syncDirectory } from "../store/posix-log-files.ts";

const KEY_BYTES = 32;
/** Nonce and tag beside the key. */
const WRAPPED_BYTES = KEY_BYTES + 12 + 16;
/** When it was kept: Unix milliseconds, big-endian. */
const TIME_BYTES = 8;
const HEAD_BYTES = TIME_BYTES + WRAPPED_BYTES;
const KEY_FILE = "key.json";
/** Two bodies of 8 MiB as base64url, and the rest. */
const MAX_PAYLOAD_CHARS = 25_000_000;
/** With the wrapped key, and nonce and tag. */
const MAX_FILE_BYTES = MAX_PAYLOAD_CHARS + TIME_BYTES + 2 * WRAPPED_BYTES;
const PAYLOAD = ".payload";
const EVENT_FILE = /^[0-9a-f-]{36}\.[a-z]+$/;
/** Beside a payload that is to be erased: who wants it, and why. */
const ORDER = ".erasure";
/** Of a write that a crash cut short: whole or not, no erasure would find it. */
const LEFTOVER = /\.tmp-[A-Za-z0-9]{6}$/;

/** One call as it was, with what opens its commitments. */
export interface Payload {
  readonly method: string;
  readonly target: string;
  readonly request: Uint8Array;
  /** As the caller got it. */
  readonly answer: Uint8Array;
  /** Null for a caller that made no commitment. */
  readonly salt: Uint8Array | null;
}

/** Who has a payload erased, and why; goes into the ledger, so it names nobody. */
export interface ErasureOrder {
  readonly reason: string;
  readonly principal: string;
  readonly peer: string;
}

/** An order that is not done. */
export interface OpenOrder {
  readonly eventId: string;
  readonly order: ErasureOrder;
  /** Whether the payload is there; without it only the order is left over. */
  readonly isHere: boolean;
}

/** What the store stands on. */
export interface PayloadStoreDeps {
  /** In the data directory; made with the first payload. */
  readonly directory: string;
  readonly keys: KeyEncryption;
  readonly random: Random;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  /** SPIFFE ID of the server: files of another open nowhere else. */
  readonly deployment: () => string;
}

/** Owns the files, and the store's key once it was opened. */
export class PayloadStore {
  readonly #deps: PayloadStoreDeps;
  #key: Promise<UnsealKey> | undefined;

  /** Takes away what a crash left half written. */
  constructor(deps: PayloadStoreDeps) {
    this.#deps = deps;
    const { directory } = deps;
    const names = existsSync(directory) ? readdirSync(directory) : [];
    for (const name of names.filter((one) => LEFTOVER.test(one)))
      rmSync(join(directory, name), { recursive: true });
  }

  /** Durable when this resolves, and off the thread that serves meanwhile. @throws TrustWardenError `secret_unavailable`. */
  async keep(eventId: string, payload: Payload): Promise<void> {
    const key = await this.#openKey();
    const dataKey = this.#deps.random(KEY_BYTES);
    const time = encodeTime(this.#deps.nowMs());
    const context = this.#contextOf(eventId, time);
    const wrapped = key.seal({ plaintext: dataKey, context });
    const { salt, request, answer, method, target } = payload;
    const plaintext = encodeCanonicalJson({
      method,
      target,
      request: encodeBase64url(request),
      answer: encodeBase64url(answer),
      salt: salt === null ? null : encodeBase64url(salt),
    });
    const sealed = new UnsealKey(dataKey, this.#deps.random).seal({ plaintext, context });
    await this.#replace(this.#fileOf(eventId), concatBytes(time, wrapped, sealed));
  }

  /** @throws TrustWardenError `not_found`, `seal_broken`, `secret_unavailable`. */
  async read(eventId: string): Promise<Payload> {
    this.#requireKept(eventId);
    const key = await this.#openKey();
    // Whoever has it erased may have come meanwhile; from here on nothing waits.
    this.#requireKept(eventId);
    const bytes = readPrivateFile(this.#fileOf(eventId), MAX_FILE_BYTES);
    const context = this.#contextOf(eventId, bytes.subarray(0, TIME_BYTES));
    const dataKey = key.open({ sealed: bytes.subarray(TIME_BYTES, HEAD_BYTES), context });
    const opened = new UnsealKey(dataKey, this.#deps.random).open({
      sealed: bytes.subarray(HEAD_BYTES),
      context,
    });
    return parsePayload(opened);
  }

  /** Whether anything is kept, ordered to be erased or not. */
  isHere(eventId: string): boolean {
    return existsSync(this.#fileOf(eventId));
  }

  /** @throws TrustWardenError `not_found` for what was never kept, was erased, or is being erased. */
  #requireKept(eventId: string): void {
    if (!this.isHere(eventId) || existsSync(this.#orderOf(eventId)))
      throw new TrustWardenError("not_found", { event_id: eventId });
  }

  /** Notes durably that a payload is to be erased; nothing opens it from then on. */
  async order(eventId: string, { reason, principal, peer }: ErasureOrder): Promise<void> {
    await this.#replace(this.#orderOf(eventId), encodeCanonicalJson({ reason, principal, peer }));
  }

  /** What was ordered and is not done, such as after a crash. @throws TrustWardenError `seal_broken`. */
  async orders(): Promise<readonly OpenOrder[]> {
    const names = await this.#namesOf(ORDER);
    return names.map((eventId) => ({
      eventId,
      order: parseOrder(readPrivateFile(this.#orderOf(eventId))),
      isHere: existsSync(this.#fileOf(eventId)),
    }));
  }

  /** Payloads that were kept before an instant and are not ordered to be erased, in no order. @param atMs - Unix milliseconds. */
  async keptBefore(atMs: number): Promise<readonly string[]> {
    const ordered = new Set(await this.#namesOf(ORDER));
    const found: string[] = [];
    for (const eventId of await this.#namesOf(PAYLOAD))
      if (!ordered.has(eventId) && (await readTime(this.#fileOf(eventId))) < atMs) found.push(eventId);
    return found;
  }

  /** What was kept opens never again; the order for it is done. Repeatable, since a crash may come between. */
  async erase(eventId: string): Promise<void> {
    const path = this.#fileOf(eventId);
    if (existsSync(path)) {
      await overwriteKey(path);
      await rm(path);
      await syncDirectory(this.#deps.directory);
    }
    await rm(this.#orderOf(eventId), { force: true });
  }

  /** Name of the key-encryption key that this store's key is under; null before the first payload. */
  keyId(): string | null {
    return this.#readKey()?.keyId ?? null;
  }

  /** Brings the store's key under the key-encryption key in use. @throws TrustWardenError `secret_unavailable`. */
  async rewrap(): Promise<void> {
    const held = this.#readKey();
    if (held === undefined) return;
    await this.#writeKey(await this.#unwrap(held));
  }

  #openKey(): Promise<UnsealKey> {
    this.#key ??= this.#loadKey().catch((error: unknown) => {
      // A failure is not kept: the key-encryption key may be there the next time.
      this.#key = undefined;
      throw error;
    });
    return this.#key;
  }

  async #loadKey(): Promise<UnsealKey> {
    const held = this.#readKey();
    const { random } = this.#deps;
    if (held !== undefined) return new UnsealKey(await this.#unwrap(held), random);
    const made = random(KEY_BYTES);
    createPrivateDirectory(this.#deps.directory);
    await this.#writeKey(made);
    return new UnsealKey(made, random);
  }

  async #unwrap({
    keyId,
    wrapped,
  }: {
    readonly keyId: string;
    readonly wrapped: Uint8Array;
  }): Promise<Uint8Array> {
    return this.#deps.keys.unwrap(keyId, { key: wrapped, context: this.#contextOf("key") });
  }

  async #writeKey(key: Uint8Array): Promise<void> {
    const { keys } = this.#deps;
    const keyId = keys.ids().at(-1) ?? (await keys.create());
    const wrapped = await keys.wrap(keyId, { key, context: this.#contextOf("key") });
    const file = { key_id: keyId, wrapped: encodeBase64url(wrapped) };
    writePrivateFile(join(this.#deps.directory, KEY_FILE), encodeCanonicalJson(file));
  }

  #readKey(): { readonly keyId: string; readonly wrapped: Uint8Array } | undefined {
    const path = join(this.#deps.directory, KEY_FILE);
    if (!existsSync(path)) return undefined;
    const fields = new Fields(parseJsonObject(parseUtf8(readPrivateFile(path))), "seal_broken");
    const found = {
      keyId: fields.text("key_id"),
      wrapped: parseBase64url(fields.text("wrapped", { maxChars: 4096 })),
    };
    fields.end();
    return found;
  }

  #contextOf(name: string, time: Uint8Array = new Uint8Array(0)): Uint8Array {
    const text = `trustwarden-payload-v1\n${this.#deps.deployment()}\n${name}`;
    return encodeUtf8(time.length === 0 ? text : `${text}\n${encodeHex(time)}`);
  }

  #fileOf(eventId: string): string {
    return join(this.#deps.directory, `${parseEventId(eventId)}${PAYLOAD}`);
  }

  #orderOf(eventId: string): string {
    return join(this.#deps.directory, `${parseEventId(eventId)}${ORDER}`);
  }

  /** Events that a file of this kind is there for. */
  async #namesOf(kind: typeof PAYLOAD | typeof ORDER): Promise<readonly string[]> {
    const { directory } = this.#deps;
    if (!existsSync(directory)) return [];
    return (await readdir(directory))
      .filter((name) => EVENT_FILE.test(name) && name.endsWith(kind))
      .map((name) => name.slice(0, -kind.length));
  }

  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    await replaceFile({ path, temporary: `${path}.tmp-${encodeHex(this.#deps.random(3))}`, bytes });
  }
}

function encodeTime(atMs: number): Uint8Array {
  const bytes = new Uint8Array(TIME_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.floor(atMs)));
  return bytes;
}

async function readTime(path: string): Promise<number> {
  const handle = await open(path, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(TIME_BYTES), 0, TIME_BYTES, 0);
    // A file that is too short for a time opens never; by age it is the oldest.
    return bytesRead < TIME_BYTES ? 0 : Number(buffer.readBigUInt64BE());
  } finally {
    await handle.close();
  }
}

async function overwriteKey(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.write(new Uint8Array(WRAPPED_BYTES), 0, WRAPPED_BYTES, TIME_BYTES);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function parseOrder(bytes: Uint8Array): ErasureOrder {
  const fields = new Fields(parseJsonObject(parseUtf8(bytes)), "seal_broken");
  const order = {
    reason: fields.text("reason", { maxChars: 1024 }),
    principal: fields.text("principal", { maxChars: 4096 }),
    peer: fields.text("peer", { maxChars: 4096 }),
  };
  fields.end();
  return order;
}

function parsePayload(bytes: Uint8Array): Payload {
  const json = parseJsonObject(parseUtf8(bytes), MAX_PAYLOAD_CHARS);
  const fields = new Fields(json, "seal_broken");
  const bytesOf = (name: string) =>
    parseBase64url(fields.text(name, { maxChars: MAX_PAYLOAD_CHARS, allowEmpty: true }));
  const payload = {
    method: fields.text("method"),
    target: fields.text("target", { maxChars: 65_536 }),
    request: bytesOf("request"),
    answer: bytesOf("answer"),
    salt: json.salt === null ? fields.null("salt") : bytesOf("salt"),
  };
  fields.end();
  return payload;
}
