/** Questions to the server as React asks them. */
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import type { z } from "zod";
import { callApi } from "./client.ts";

/** The answer to a GET, kept a while; `null` asks nothing. */
export function useApi<Schema extends z.ZodType>(
  path: string | null,
  answer: Schema,
): UseQueryResult<z.output<Schema>> {
  return useQuery({
    queryKey: ["api", path],
    enabled: path !== null,
    queryFn: ({ signal }) => callApi({ path: path ?? "", answer, signal }),
  });
}
