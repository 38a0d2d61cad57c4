/** Questions to the server as React asks them. */
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import type { z } from "zod";
import { perform } from "./client.ts";
import type { AnswerTo, Target } from "./rows.ts";

/** The answer to a GET, kept a while; `null` asks nothing. */
export function useApi<const Path extends Target, Schema extends z.ZodType>(
  path: Path | null,
  answer: AnswerTo<Path> extends z.input<Schema> ? Schema : never,
): UseQueryResult<z.output<Schema>> {
  return useQuery({
    queryKey: ["api", path],
    enabled: path !== null,
    queryFn: ({ signal }) => perform({ path: path ?? "/healthz", answer, signal }),
  });
}
