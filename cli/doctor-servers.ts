/** The checks of `warden doctor` on servers that share a store: who lives, whose clocks agree, and what carries their notices. */
import type { ServerConfig } from "@trustwarden/server/config.ts";
import { lookAtServers, type SeenServers, sendThroughNats } from "@trustwarden/server/look-at-servers.ts";
import { bad, type Check, good, judgeClock } from "./doctor-check.ts";

/** What is on its way is there within seconds; more than this waits. */
const MAX_OWED = 1000;

/** @param nowMs - of this machine, Unix milliseconds. */
export async function checkServers(
  { state }: Pick<ServerConfig, "state">,
  nowMs: () => number,
): Promise<readonly Check[]> {
  if (state.storage !== "postgres" || state.servers !== "many") return [];
  const notices = state.notices === undefined ? [] : [await checkNotices(state.notices)];
  try {
    const seen = await lookAtServers(state.postgres, nowMs);
    return [judgeServers(seen), judgeVersions(seen), judgeClocks(seen), judgeOwed(seen), ...notices];
  } catch (error) {
    // Safe: a database that does not let this command in is the finding.
    const why = `the state database does not say who lives: ${codeOf(error)}`;
    return [bad("servers", why, "Look at `state.postgres`, its password file and the network."), ...notices];
  }
}

function judgeServers({ servers, epoch, isShared }: SeenServers): Check {
  const name = "servers";
  if (!isShared)
    return bad(
      name,
      "the store is not set up for several servers yet",
      "Start one with `servers` set to `many`.",
    );
  const behind = servers.filter(({ acked }) => acked < epoch).length;
  const leases = servers.reduce((sum, server) => sum + server.leases, 0);
  const found = `${servers.length} live, with ${leases} lease(s); ${servers.length - behind} know epoch ${epoch}`;
  if (servers.length < 2) return bad(name, found, "Start another: when this one ends, nobody answers.");
  return behind === 0
    ? good(name, found)
    : bad(name, found, "Look again; if it stays, look at those that are behind.");
}

function judgeVersions({ store, servers, programs }: SeenServers): Check {
  const name = "versions of the servers";
  const { settled, tables } = store;
  const running = countedOf(programs).join(", ") || "none that says its own";
  const knowing = countedOf(servers.map(({ knows }) => `tables ${knows}`)).join(", ");
  const found = `servers: ${running}; they know ${knowing || "nothing"}; the store has tables ${tables}, settled at ${settled}`;
  const isMixed = servers.some(({ knows }) => knows < tables);
  if (isMixed)
    return bad(
      name,
      found,
      "Update the servers that know less; the store is settled a minute after the last of them.",
    );
  return good(name, found);
}

/** Each once, with how often. */
function countedOf(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].map((text) => `${texts.filter((other) => other === text).length} x ${text}`);
}

function judgeClocks({ apartMs }: SeenServers): Check {
  return judgeClock("clocks of the servers", {
    whose: "the database's",
    apartMs,
    next: "Set the clocks (NTP): what is dated 30 s before the latest of all servers is refused.",
  });
}

function judgeOwed({ owed }: SeenServers): Check {
  const found = `${owed} event(s) on their way to the ledger`;
  return owed <= MAX_OWED
    ? good("outbox", found)
    : bad("outbox", found, "Nobody sequences: look at the ledger's database and object store.");
}

async function checkNotices(
  settings: NonNullable<Extract<ServerConfig["state"], { storage: "postgres" }>["notices"]>,
): Promise<Check> {
  const where = settings.servers.join(", ");
  try {
    await sendThroughNats(settings);
    return good("notices", `a message came through NATS at ${where}`);
  } catch (error) {
    // Safe: nothing hangs on NATS but how soon one server looks at what another wrote.
    const why = `NATS at ${where} carries nothing: ${codeOf(error)}`;
    return bad(
      "notices",
      why,
      "Until it does, servers look by the clock: answers wait up to half a second longer.",
    );
  }
}

/** Drivers quote values in their sentences; their codes and names do not. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
