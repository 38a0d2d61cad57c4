/** Buttons of the identity providers by which people may sign in; nothing where there is none. */
import { useMutation, useQuery } from "@tanstack/react-query";
import type { ReactElement } from "react";
import { goToProvider, listProviders } from "../api/identity-provider.ts";
import { Problem } from "./problem.tsx";

/** @param comingBy - the invitation of who comes; null for who was here before, undefined while it is not whole. */
export function Providers({
  verb,
  comingBy,
}: {
  readonly verb: string;
  readonly comingBy: { readonly link: string; readonly name: string } | null | undefined;
}): ReactElement | null {
  const list = useQuery({ queryKey: ["identity-providers"], queryFn: listProviders, staleTime: Infinity });
  const going = useMutation({
    mutationFn: (name: string) => goToProvider(name, { coming: comingBy ?? null, adding: null }),
  });
  if (list.data === undefined || list.data.length === 0) return null;
  return (
    <>
      {list.data.map(({ name, label }) => (
        <button
          key={name}
          type="button"
          disabled={going.isPending || comingBy === undefined}
          onClick={() => going.mutate(name)}
        >
          {verb} {label}
        </button>
      ))}
      {going.isError ? <Problem error={going.error} /> : null}
    </>
  );
}
