/**
 * What a thief finds in a copied directory: every string of 16 characters and more in every file and in every table of
 * every SQLite database, what those strings decode to (hex, base64, base64url, again and again), and all raw bytes in
 * which a key or a certificate could be.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const MIN_STRING = 16;
/** A string inside a string inside a string; nothing of ours nests deeper. */
const MAX_DEPTH = 5;
const PRINTABLE_RUN = /[\x20-\x7e]{16,}/g;
/** What a token, a digest, an id or an encoded value looks like. */
const TOKEN = /[A-Za-z0-9_\-+/=.:]{16,}/g;
/** The pieces of a token that has several parts, such as a JWT or `tw1.…`. */
const PART = /[A-Za-z0-9_\-+/=]{16,}/g;
const HEX = /^(?:[0-9a-f]{2}){8,}$/i;
const BASE64 = /^[A-Za-z0-9_\-+/]{16,}={0,2}$/;
const SQLITE_MAGIC = "SQLite format 3\u0000";

/** Everything found, each value once. */
export interface Loot {
  readonly files: number;
  readonly strings: ReadonlySet<string>;
  /** Raw bytes: files, blobs, and decoded values. */
  readonly blobs: readonly Buffer[];
}

/** Searches a copied directory. */
export function searchDirectory(directory: string): Loot {
  const strings = new Set<string>();
  const blobs = new Map<string, Buffer>();
  const search = new Search(strings, blobs);
  const paths = listFiles(directory);
  // All bytes first: opening a database folds its write-ahead file into it.
  const contents = paths.map((path) => ({ path, bytes: readFileSync(path) }));
  for (const { bytes } of contents) search.takeBytes(bytes, 0);
  for (const { path, bytes } of contents) if (isDatabase(bytes)) searchTables(path, search);
  return { files: paths.length, strings, blobs: [...blobs.values()] };
}

/** Owns what was found so far; takes bytes and strings and follows what they decode to. */
class Search {
  readonly #strings: Set<string>;
  readonly #blobs: Map<string, Buffer>;

  constructor(strings: Set<string>, blobs: Map<string, Buffer>) {
    this.#strings = strings;
    this.#blobs = blobs;
  }

  takeBytes(bytes: Buffer, depth: number): void {
    const key = bytes.toString("latin1");
    if (this.#blobs.has(key)) return;
    this.#blobs.set(key, bytes);
    for (const [run] of key.matchAll(PRINTABLE_RUN)) this.takeString(run, depth);
  }

  takeString(text: string, depth: number): void {
    if (text.length < MIN_STRING || this.#strings.has(text)) return;
    this.#strings.add(text);
    if (depth >= MAX_DEPTH) return;
    this.#takeJson(text, depth + 1);
    for (const [token] of text.matchAll(TOKEN)) {
      this.takeString(token, depth + 1);
      for (const [part] of token.matchAll(PART)) this.#decode(part, depth + 1);
    }
  }

  /** The strings of a JSON document in the text, unescaped: documents carry documents. */
  #takeJson(text: string, depth: number): void {
    const document = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
    if (document.length < MIN_STRING) return;
    try {
      JSON.parse(document, (_key, value: unknown) => {
        if (typeof value === "string") this.takeString(value, depth);
        return value;
      });
      this.#strings.add(document);
    } catch {
      // Not JSON after all; its tokens are taken anyway.
    }
  }

  #decode(text: string, depth: number): void {
    this.#strings.add(text);
    if (HEX.test(text)) this.takeBytes(Buffer.from(text, "hex"), depth);
    // Node decodes both base64 alphabets.
    if (BASE64.test(text)) this.takeBytes(Buffer.from(text, "base64"), depth);
  }
}

function isDatabase(bytes: Buffer): boolean {
  return bytes.subarray(0, SQLITE_MAGIC.length).toString("latin1") === SQLITE_MAGIC;
}

function listFiles(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Every column of every row of every table; the copied write-ahead file is read along. */
function searchTables(path: string, search: Search): void {
  const database = new DatabaseSync(path);
  const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  for (const { name } of tables) {
    const quoted = `"${String(name).replaceAll('"', '""')}"`;
    for (const row of database.prepare(`SELECT * FROM ${quoted}`).iterate()) {
      for (const value of Object.values(row)) {
        if (typeof value === "string") search.takeString(value, 0);
        if (value instanceof Uint8Array) search.takeBytes(Buffer.from(value), 0);
      }
    }
  }
  database.close();
}
