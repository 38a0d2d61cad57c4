/** Offers that wait, as they are listed: an owner's own are found behind any number of others'. */
import { expect, it } from "vitest";
import { createTestStore, NOW } from "./commands/fixture.test.support.ts";
import { createOfferReads } from "./offer-rows.ts";

it("are an owner's own first of all, however many others wait that end sooner", () => {
  const { owner, root, database } = createTestStore();
  const [alice, bob, carol] = [owner("alice"), owner("bob"), owner("carol")];
  root(alice);
  const agent = database.get("SELECT agent_id FROM agents")?.text("agent_id");
  const offer = (to: string, endsIn: number) =>
    database.run(
      "INSERT INTO claims (kind, issuer, id, expires_at) VALUES ('transfer-waits', ?, ?, ?)",
      alice,
      `${endsIn} ${agent} ${to}`,
      NOW + endsIn,
    );
  const wish = (of: string | null, endsIn: number) =>
    database.run(
      `INSERT INTO claim_codes (claim_id, code_sha256, thumbprint, wish, expires_at) VALUES (?1, ?1, '', ?2, ?3)`,
      `clm_${endsIn}`,
      JSON.stringify({ path: "p", name: "n", scope: [], ttl_seconds: 60, owner: of }),
      NOW + endsIn,
    );
  for (const endsIn of [1, 2]) {
    offer(bob, endsIn);
    wish(endsIn === 1 ? bob : null, endsIn);
  }
  offer(carol, 3);
  wish(carol, 3);
  const reads = createOfferReads(database);
  const of = (ownerId: string | null) => {
    const query = { now: NOW, limit: 1, ownerId };
    return [...reads.listWaitingTransfers(query), ...reads.listWaitingClaims(query)].map(
      ({ expiresAt }) => expiresAt - NOW,
    );
  };
  expect(of(carol)).toEqual([3, 3]);
  expect(of(bob)).toEqual([1, 1]);
  expect(of(alice)).toEqual([1]);
  expect(of(null)).toEqual([1, 1]);
});
