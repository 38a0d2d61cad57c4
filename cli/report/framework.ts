/** The form of a control list: where it is from, and for each control what shows it and what does not. */
import type { FindingCode } from "@trustwarden/core/agentledger/finding.ts";
import type { MeasureName } from "./measures.ts";

/** One control, in our own words. */
export interface Control {
  /** As its source numbers it. */
  readonly id: string;
  readonly title: string;
  /** What it asks for. */
  readonly asks: string;
  readonly shownBy: readonly MeasureName[];
  /** Findings of the audit that speak against it; their number is shown, and zero is a figure too. */
  readonly against?: readonly FindingCode[];
  /** Whether the time that the log spans is a figure of it. */
  readonly isAboutSpan?: boolean;
  /** What nobody learns from this ledger. */
  readonly notShown: readonly string[];
}

/** A published list of controls. */
export interface Framework {
  readonly id: string;
  readonly title: string;
  /** Publication and version. */
  readonly source: string;
  readonly controls: readonly Control[];
}
