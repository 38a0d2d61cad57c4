/** Every owner that there is, page by page. */
import { type OwnerList, ownerList } from "@trustwarden/core/api/ledger.ts";
import { type Client, formatTarget } from "./client.ts";

/** All owners, by name. */
export async function fetchOwners(client: Client): Promise<OwnerList["owners"]> {
  const owners: OwnerList["owners"] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: OwnerList = await client.get(formatTarget("/v1/owners", { cursor }), ownerList);
    owners.push(...page.owners);
    cursor = page.next_cursor;
  }
  return owners;
}
