/** Who there is, by the ids that records have. */
import type { UseQueryResult } from "@tanstack/react-query";
import { type PeopleList, peopleList } from "@trustwarden/core/api/people.ts";
import { isWide } from "@trustwarden/core/role.ts";
import { pathWith } from "./client.ts";
import { useSession } from "./session.tsx";
import { useApi } from "./use-api.ts";

/** As many as a page may have. */
const MAX_PEOPLE = 500;

/** A page of people. @param cursor - of the page before; empty for the first, and `null` asks nothing. */
export function usePeople(cursor: string | null = ""): UseQueryResult<PeopleList> {
  return useApi(cursor === null ? null : pathWith("/v1/people", { limit: MAX_PEOPLE, cursor }), peopleList);
}

/** Names by id, as far as the first page goes; an id has no name where it cannot be read. */
export function useNames(): ReadonlyMap<string, string> {
  const { data } = usePeople();
  return new Map(data?.people.map(({ person_id: id, name }) => [id, name]));
}

/**
 * The name of the person who is an owner, as far as it may be seen: one's own, and of the first page of people for who may read
 * that. Names are the server's word and never of the ledger.
 */
export function useOwnerName(): (ownerId: string) => string | null {
  const { owner_id: mine, name, roles } = useSession();
  const { data } = usePeople(isWide(roles) ? "" : null);
  return (ownerId) =>
    ownerId === mine ? name : (data?.people.find(({ owner_id: id }) => id === ownerId)?.name ?? null);
}
