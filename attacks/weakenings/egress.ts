/** Weakenings of the way out: what lets an agent reach whom nobody named. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const EGRESS_WEAKENINGS = {
  "every-place-is-named": [
    {
      file: "core/gateway/plan-egress.ts",
      find: "if (!placesOf(settings).some((pattern) => isNamed(pattern, place)))",
      replace: "if (placesOf(settings).every((pattern) => isNamed(pattern, place)))",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
