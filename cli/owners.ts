/** Every owner that there is, page by page. */
import { type OwnerList, ownerList } from "@trustwarden/core/api/ledger.ts";
import { type Client, readPages } from "./client.ts";

/** All owners, by name. */
export async function fetchOwners(client: Client): Promise<OwnerList["owners"]> {
  const owners: OwnerList["owners"] = [];
  for await (const page of readPages(client, { path: "/v1/owners", schema: ownerList }))
    owners.push(...page.owners);
  return owners;
}
