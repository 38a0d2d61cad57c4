/**
 * The keys of shards as a log lists them (`/ledger/shards`): held against what is signed by whoever reads them, and not believed.
 *
 * @see docs/decisions/0093
 */
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import { shardList } from "@trustwarden/core/api/ledger.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { ZodError } from "zod";

/** Below the prefix of the first shard. */
const SHARD_LIST = "shards";
/** A thousand shards. */
const MAX_SHARD_LIST_CHARS = 4_194_304;

/** @param reader - of the ledger's first log. @returns none for a log that hides its list, or has none. */
export async function readListedKeys(reader: LogReader): Promise<readonly string[]> {
  try {
    const text = parseUtf8(await reader.readObject(SHARD_LIST));
    const { shards } = shardList.parse(parseJsonObject(text, MAX_SHARD_LIST_CHARS));
    return shards.map(({ vkey }) => vkey);
  } catch (error) {
    // Safe to go on: such a log is followed as far as names can be guessed.
    if (error instanceof TrustWardenError || error instanceof ZodError) return [];
    throw error;
  }
}
