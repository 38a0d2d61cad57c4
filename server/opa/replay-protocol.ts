/** What the thread of a replay is started with, asked and answers. */
import type { PolicyMaterial } from "@trustwarden/core/agentledger/evidence-policies.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { ReplayedDecision } from "./ports.ts";

/** The draft, and what stands beside it. */
export interface ReplayThreadData {
  readonly draft: { readonly wasm: Uint8Array; readonly data: JsonObject; readonly name: string };
  readonly builtin: PolicyMaterial;
  readonly hostBuiltins: readonly string[];
}

/** Answers in the order of what was asked; `failed` when the draft cannot be run at all. */
export type FromReplay =
  | { readonly kind: "ready"; readonly policySha256: string }
  | { readonly kind: "done"; readonly replayed: readonly (ReplayedDecision | null)[] }
  | { readonly kind: "failed"; readonly code: string };
