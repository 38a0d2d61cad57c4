/** What a page of a list was refused with; where a second admin's word lifts it, the way to that word. */
import { type UseQueryResult, useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactElement } from "react";
import type { z } from "zod";
import { isApiError, perform } from "../api/client.ts";
import type { Target } from "../api/rows.ts";
import { Problem } from "./problem.tsx";
import { SecondAdmin } from "./second-admin.tsx";

/** @param of - the question that failed, as `useApi` asked it. */
export function ReadProblem<Schema extends z.ZodType>({
  of: { error, refetch },
  path,
  answer,
}: {
  readonly of: Pick<UseQueryResult<z.output<Schema>>, "error" | "refetch">;
  readonly path: Target;
  readonly answer: Schema;
}): ReactElement {
  const queries = useQueryClient();
  const reading = useMutation({
    mutationFn: (confirmation: string) => perform({ path, answer, confirmation }),
    onSuccess: (page) => queries.setQueryData(["api", path], page),
  });
  if (!isApiError(error) || error.code !== "mass_export_unconfirmed")
    return <Problem error={error} retry={() => void refetch()} />;
  return (
    <div className="panel-body stack" data-beyond>
      <Problem error={error} />
      <SecondAdmin request={{ method: "GET", target: path, body: "" }} onGo={reading.mutate} />
      {reading.isError ? <Problem error={reading.error} /> : null}
    </div>
  );
}
