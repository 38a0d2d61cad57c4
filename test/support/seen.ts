/** The newest tree that a server shows, as an honest agent names it in its intents; and what somebody else would. */
import { verifyShardCheckpoint } from "@trustwarden/core/agentledger/shard.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import type { Intent } from "@trustwarden/core/event.ts";
import { jsonOf, send } from "./http.ts";
import type { TestServer } from "./server.ts";

export type Seen = NonNullable<Intent["seen"]>;

export async function latestSeen({ url }: Pick<TestServer, "url">): Promise<Seen> {
  const { log_vkey: vkey } = jsonOf(await send(url, { target: "/.well-known/trustwarden" }));
  const { text } = await send(url, { target: "/ledger/latest-checkpoint" });
  const { origin, size, root } = verifyShardCheckpoint(text, String(vkey));
  return { origin, size, root: encodeBase64(root) };
}

/** A tree to come, another tree of a size that was shown, a shard that nobody began, and another ledger's tree. */
export function falseSeen(seen: Seen): Readonly<Record<string, Seen>> {
  const root = encodeBase64(new Uint8Array(32).fill(1));
  return {
    "a newer tree than any": { ...seen, size: seen.size + 1_000_000, root },
    "another root": { ...seen, root },
    "a shard that nobody began": { ...seen, origin: "ledger.acme.test/2099q1" },
    "another ledger": { ...seen, origin: "ledger.elsewhere.test" },
  };
}
