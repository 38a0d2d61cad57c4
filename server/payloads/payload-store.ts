/**
 * What operators keep of calls besides the commitments in the ledger: encrypted, one file and one data key for each
 * event, so that one can be erased and the ledger still verifies.
 *
 * The data keys are under a key of this store, and that is under the broker's key-encryption key: its rotation has one
 * key to bring along. Erasing overwrites the data key before the file goes.
 *
 * @see docs/decisions/0022-model-calls.md; ATTACKS.md I12
 */
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import {
  concatBytes,
  encodeBase64url,
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

const KEY_BYTES = 32;
/** Nonce and tag beside the key. */
const WRAPPED_BYTES = KEY_BYTES + 12 + 16;
const KEY_FILE = "key.json";
/** Two bodies of 8 MiB as base64url, and the rest. */
const MAX_PAYLOAD_CHARS = 25_000_000;
/** With the wrapped key, and nonce and tag. */
const MAX_FILE_BYTES = MAX_PAYLOAD_CHARS + 2 * WRAPPED_BYTES;
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

/** What the store stands on. */
export interface PayloadStoreDeps {
  /** In the data directory; made with the first payload. */
  readonly directory: string;
  readonly keys: KeyEncryption;
  readonly random: Random;
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

  /** Durable when this resolves. @throws TrustWardenError `secret_unavailable`. */
  async keep(eventId: string, payload: Payload): Promise<void> {
    const key = await this.#openKey();
    const dataKey = this.#deps.random(KEY_BYTES);
    const context = this.#contextOf(eventId);
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
    writePrivateFile(this.#fileOf(eventId), concatBytes(wrapped, sealed));
  }

  /** @throws TrustWardenError `not_found`, `seal_broken`, `secret_unavailable`. */
  async read(eventId: string): Promise<Payload> {
    this.requireKept(eventId);
    const key = await this.#openKey();
    const bytes = readPrivateFile(this.#fileOf(eventId), MAX_FILE_BYTES);
    const context = this.#contextOf(eventId);
    const dataKey = key.open({ sealed: bytes.subarray(0, WRAPPED_BYTES), context });
    const opened = new UnsealKey(dataKey, this.#deps.random).open({
      sealed: bytes.subarray(WRAPPED_BYTES),
      context,
    });
    return parsePayload(opened);
  }

  /** @throws TrustWardenError `not_found` for what was never kept, or was erased. */
  requireKept(eventId: string): void {
    if (!existsSync(this.#fileOf(eventId))) throw new TrustWardenError("not_found", { event_id: eventId });
  }

  /** What was kept opens never again. @throws TrustWardenError `not_found`. */
  erase(eventId: string): void {
    this.requireKept(eventId);
    const path = this.#fileOf(eventId);
    const descriptor = openSync(path, "r+");
    try {
      writeSync(descriptor, new Uint8Array(WRAPPED_BYTES), 0, WRAPPED_BYTES, 0);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    rmSync(path);
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

  #contextOf(name: string): Uint8Array {
    return encodeUtf8(`trustwarden-payload-v1\n${this.#deps.deployment()}\n${name}`);
  }

  #fileOf(eventId: string): string {
    return join(this.#deps.directory, `${parseEventId(eventId)}.payload`);
  }
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
