/** What a person does, as React asks it: by one person, or again with the word of a second one. */
import { type UseMutationResult, useMutation } from "@tanstack/react-query";
import type { z } from "zod";
import { type Asking, perform } from "./client.ts";

/** Something done, with what was asked. */
export type Act<Answer> = UseMutationResult<Answer, Error, Asking>;

/** An act that may need a second admin; show its `Outcome`. */
export function useAct<Schema extends z.ZodType>(
  answer: Schema,
  onDone?: (answer: z.output<Schema>) => void,
): Act<z.output<Schema>> {
  return useMutation({
    mutationFn: (asking: Asking) => perform({ ...asking, answer }),
    ...(onDone === undefined ? {} : { onSuccess: onDone }),
  });
}
