/**
 * Names of accounts and groups, from the host's two files.
 *
 * Directory services are not asked: they may answer late, or differently tomorrow, and a name that is not here gives no
 * selector. Numbers are what identifies; names are for those who write entries.
 *
 * @see passwd(5), group(5)
 */
import { readFileSync, statSync } from "node:fs";

/** A host has hundreds of accounts; a larger file is not read. */
const MAX_FILE_BYTES = 4_194_304;

/** Finds names. */
export interface Accounts {
  readonly userName: (uid: number) => string | undefined;
  readonly groupName: (gid: number) => string | undefined;
}

/** Names from files of the two formats, read again when they change. */
export function createAccounts(passwdFile = "/etc/passwd", groupFile = "/etc/group"): Accounts {
  const users = new NameFile(passwdFile);
  const groups = new NameFile(groupFile);
  return { userName: (uid) => users.find(uid), groupName: (gid) => groups.find(gid) };
}

/** Owns what was read of one file, until the file is another. */
class NameFile {
  readonly #path: string;
  #version = "";
  #names: ReadonlyMap<number, string> = new Map();

  constructor(path: string) {
    this.#path = path;
  }

  find(id: number): string | undefined {
    this.#refresh();
    return this.#names.get(id);
  }

  #refresh(): void {
    const found = statSync(this.#path, { throwIfNoEntry: false });
    const version = found === undefined ? "none" : `${found.ino}:${found.mtimeMs}:${found.size}`;
    if (version === this.#version) return;
    const isReadable = found?.isFile() === true && found.size <= MAX_FILE_BYTES;
    this.#names = isReadable ? parseNames(readFileSync(this.#path, "utf8")) : new Map();
    this.#version = version;
  }
}

/** `name:password:id:...`; of two names of one id the first counts, as it does for the C library. */
function parseNames(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split("\n")) {
    const [name = "", , id = ""] = line.split(":");
    if (name === "" || !/^\d{1,10}$/.test(id) || names.has(Number(id))) continue;
    names.set(Number(id), name);
  }
  return names;
}
