/** What the adapters of tools are told: what tools mean, what may run unseen, and whose they are. */
import type { AgentIdentity } from "trustwarden";
import type { CallGate } from "./call-gate.ts";
import type { ToolRules } from "./tool-rules.ts";

/** How tools are guarded. */
export interface GuardOptions {
  /** What each tool means, by its name; `use:tool:<name>` unless named. */
  readonly rules?: ToolRules;
  /**
   * What may run out of the guard's sight: tools that the model's provider or the user's browser runs, by name, and
   * settings that bring tools with them, by member.
   */
  readonly unguarded?: readonly string[];
}

/** The same with whose tools they are. */
export interface OwnedGuardOptions extends GuardOptions {
  /** The instance; whose work it is when called, when absent. */
  readonly agent?: AgentIdentity;
  readonly gate?: CallGate;
  readonly onFailure?: (error: unknown) => void;
}
