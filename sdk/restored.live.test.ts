/** The SDK at a server that was put back from an older copy of its whole machine, so that no mark outside the data stops its start. */
import { cpSync, renameSync, rmSync } from "node:fs";
import { eventAnswer, shardList } from "@trustwarden/core/api/ledger.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { expect, it } from "vitest";
import { AgentIdentity } from "./agent-identity.ts";
import { type LiveServer, startLiveServer } from "./live.test.support.ts";

it("an agent that has seen more than the ledger holds is told so, and one that is made anew goes on (41)", async () => {
  const live = await startLiveServer();
  const create = () =>
    AgentIdentity.create({
      name: "reader",
      ticket: live.ticket({ name: "reader", scope: ["write:report"] }),
    });
  const agent = await create();
  /** What the intent of the act named as seen. */
  const act = async (by: AgentIdentity) => {
    await by.act("write:report", "file://reports/q3", null, async () => "done");
    const { records } = eventAnswer.parse(
      await live.admin("GET", `/v1/events/${by.receipts.at(-1)?.receipt.event_id}`),
    );
    return parseUnverifiedPayload(parseEnvelope(records[0]?.entry ?? "")).seen;
  };
  await live.restart((directory) => cpSync(directory, `${directory}-kept`, { recursive: true }));
  const before = await published(live);
  const other = await create();
  await expect.poll(() => published(live), { timeout: 20_000 }).toBeGreaterThan(before + 1);
  // The first act has it read the newest checkpoint, behind the work.
  await expect.poll(() => act(agent), { timeout: 20_000 }).not.toBeNull();
  await live.restart((directory) => {
    rmSync(directory, { recursive: true });
    renameSync(`${directory}-kept`, directory);
  });
  await expect(act(agent)).rejects.toMatchObject({
    code: "checkpoint_unpublished",
    message: expect.stringContaining("put back from an older copy"),
  });
  const anew = await create();
  expect(await act(anew)).toBeNull();
  await Promise.all([agent.close(), other.close(), anew.close()]);
  await live.close();
});

/** Entries under the checkpoint that everybody sees. */
async function published({ admin }: LiveServer): Promise<number> {
  return shardList.parse(await admin("GET", "/ledger/shards")).shards.at(-1)?.size ?? 0;
}
