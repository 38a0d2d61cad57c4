/**
 * Until when an owner has signed, where that is ahead of this server's clock: the one thing about used requests that a restart
 * must not forget. A request of the past is older than the next start and refused by that alone.
 *
 * One small file of the data directory, written before the request counts. Times of an owner only rise, and by no more than the
 * skew that is allowed, so that nobody can make it be written more than once a second.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Clock } from "./clock.ts";
import { type Floors, OwnerRequests } from "./http/owner-requests.ts";
import type { Uses } from "./shared/uses.ts";
import { readPrivateFile, writePrivateFile } from "./signer/private-file.ts";
import type { StoreReads } from "./store/ports.ts";

const FILE = "owner-requests.json";

/** The check of owners' requests, from now on. */
export function createOwnerRequests(options: {
  readonly reads: Pick<StoreReads, "findOwner">;
  readonly clock: Clock;
  readonly dataDir: string;
  /** Of the other servers of the same store. */
  readonly uses: Uses;
}): OwnerRequests {
  const { reads, clock, dataDir, uses } = options;
  const floors = new OwnerRequestFloors(join(dataDir, FILE));
  return new OwnerRequests({ reads, floors, uses, startedAt: Math.floor(clock.nowMs() / 1000) });
}

/** Owns the file. */
export class OwnerRequestFloors implements Floors {
  readonly #path: string;
  /** Unix seconds, by owner. */
  readonly #floors = new Map<string, number>();
  /** As they were found: what was signed up to then may have been used before this start. */
  readonly #found: ReadonlyMap<string, number>;

  /** @throws TrustWardenError `config_invalid` for a file that is damaged, `file_mode_too_open`. */
  constructor(path: string) {
    this.#path = path;
    this.#found = existsSync(path) ? parseFloors(parseUtf8(readPrivateFile(path))) : new Map();
    for (const [owner, at] of this.#found) this.#floors.set(owner, at);
  }

  isBelow(ownerId: string, iat: number): boolean {
    return iat <= (this.#found.get(ownerId) ?? 0);
  }

  raise(ownerId: string, { iat, now }: { readonly iat: number; readonly now: number }): void {
    if (iat <= (this.#floors.get(ownerId) ?? now)) return;
    this.#floors.set(ownerId, iat);
    for (const [owner, at] of this.#floors) if (at <= now) this.#floors.delete(owner);
    writePrivateFile(this.#path, encodeUtf8(formatCanonicalJson(Object.fromEntries(this.#floors))));
  }
}

function parseFloors(text: string): ReadonlyMap<string, number> {
  const floors = Object.entries(parseJsonObject(text)).map(([owner, at]): [string, number] => {
    if (typeof at !== "number" || !Number.isSafeInteger(at))
      throw new TrustWardenError("config_invalid", { setting: FILE });
    return [owner, at];
  });
  return new Map(floors);
}
