/**
 * Which settings servers that share a store may have: what a server remembers by itself alone, and others would have to know,
 * is refused at the start. Nothing of it works in part.
 *
 * @see docs/decisions/0064, 0094 and 0102, with the reason for each
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** What the rule is about. */
interface Shareable {
  readonly state: {
    readonly storage: string;
    readonly servers?: "one" | "many";
    readonly standby?: boolean;
    readonly postgres?: { readonly statementTimeoutMs: number; readonly sessionTimeoutMs: number };
  };
  readonly ledger: { readonly storage: string };
}

/** @throws TrustWardenError `config_invalid` with the first setting that servers which share a store cannot have. */
export function requireShareable(config: Shareable): void {
  if (config.state.servers !== "many") return;
  const refused: readonly (readonly [setting: string, isRefused: boolean, reason: string])[] = [
    ["state.standby", config.state.standby === true, "servers that share a store do not take turns"],
    ["ledger.storage", config.ledger.storage !== "postgres", "each of them has to reach the ledger"],
  ];
  for (const [setting, isRefused, reason] of refused)
    if (isRefused) throw new TrustWardenError("config_invalid", { setting, reason });
}
