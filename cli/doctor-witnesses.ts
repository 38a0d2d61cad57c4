/**
 * What `warden doctor` says of the witnesses: how much is not witnessed, and which of them show nothing of the shard that goes on,
 * because nobody told them its key.
 */
import { readFileSync } from "node:fs";
import { isLaterQuarter, quarterOf } from "@trustwarden/core/agentledger/shard.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { type StatusAnswer, shardList, tailAnswer } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ServerConfig } from "@trustwarden/server/config.ts";
import { createWitnessClient } from "@trustwarden/server/witnessing/witness-client.ts";
import type { Session } from "./command.ts";
import { bad, type Check, good } from "./doctor-check.ts";

const NAME = "witnesses";
/** A witness is asked every few seconds. */
const MAX_UNWITNESSED = 10_000;

/** What the check is made of. */
interface WitnessCheck {
  readonly config: Pick<ServerConfig, "witnesses" | "ledger">;
  readonly status: StatusAnswer;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/**
 * @param nowMs - Unix milliseconds.
 * @throws what the server or the policy's file cannot be read for.
 */
export async function checkWitnesses(
  { client }: Pick<Session, "client">,
  { config: { witnesses, ledger: settings }, status, nowMs }: WitnessCheck,
): Promise<Check> {
  const { ledger } = status;
  if (witnesses === undefined)
    return good(NAME, "nobody countersigns; a ledger that was cut off is noticed by its verifiers only");
  const current = (await client.get("/ledger/shards", shardList)).shards.at(-1);
  const begun = current?.name ?? (await quarterOfFirst(client));
  if (settings.shards === "quarterly" && begun !== null && isLaterQuarter(quarterOf(nowMs), begun))
    return bad(
      NAME,
      `the ledger still is in the shard of ${begun}: too few witnesses would follow the next one, or its clock has just been set`,
      "The server's log names the witnesses, and the key that each has to be told (docs/guides/witnesses.md).",
    );
  if (current !== undefined && current.name !== null) {
    const { origin, vkey } = current;
    const absent = await absentFrom(origin, witnesses);
    if (absent.length > 0)
      return bad(
        NAME,
        `${absent.join(", ")} show nothing of the shard ${origin}`,
        `Tell each its key: ${vkey} (docs/guides/witnesses.md); one that never shows what it remembers, or is only away, needs nothing.`,
      );
  }
  const missing = ledger.size - (ledger.witnessed_size ?? 0);
  return missing <= MAX_UNWITNESSED
    ? good(NAME, `all but the last ${missing} entries are witnessed`)
    : bad(
        NAME,
        `${missing} entries are not witnessed`,
        "Ask the witnesses; the server's log names those that are silent.",
      );
}

/** Of a ledger that never turned: by one of its first events. */
async function quarterOfFirst(client: Session["client"]): Promise<string | null> {
  const { events } = await client.get("/v1/ledger/tail?from=0&limit=16", tailAnswer);
  const [first] = events;
  return first === undefined ? null : quarterOf(Date.parse(first.event.timestamp));
}

/** Names of the witnesses that show no checkpoint of a log. */
async function absentFrom(
  origin: string,
  { policyFile, timeoutMs }: NonNullable<ServerConfig["witnesses"]>,
): Promise<readonly string[]> {
  const policy = parseTlogPolicy(readFileSync(policyFile, "utf8"));
  const ended = new AbortController().signal;
  const shown = await Promise.all(
    policy.witnesses.map(async ({ url, ...witness }) => {
      if (url === null) return [];
      const asked = createWitnessClient({ ...witness, url }, { timeoutMs, ended });
      return (await showsNothing(() => asked.readLatest(origin))) ? [witness.name] : [];
    }),
  );
  return shown.flat();
}

async function showsNothing(read: () => Promise<string | null>): Promise<boolean> {
  try {
    return (await read()) === null;
  } catch (error) {
    // Whoever is silent is one of those: said with the others, and which it is stands in the server's log.
    if (error instanceof TrustWardenError && error.code === "witnesses_unreachable") return true;
    throw error;
  }
}
