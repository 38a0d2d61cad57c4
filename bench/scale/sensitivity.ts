/** How much hangs on one figure: it alone is replaced, by what else was measured or by an assumption that is as good. */
import { ASSUMED, type Assumptions, CONSTANTS, type Constants } from "./constants.ts";
import { computeNeeds, type Needs } from "./needs.ts";

interface Change {
  readonly what: string;
  readonly constants?: Partial<Constants>;
  readonly assumed?: Partial<Assumptions>;
}

/** One row of the comparison. */
export interface Changed {
  readonly what: string;
  readonly needs: Needs;
}

/** Those with "measured" or "bound" are of `bench/README.md`; the others are assumptions. */
const CHANGES: readonly Change[] = [
  { what: "as above" },
  { what: "renewals 97/s (measured, load 8 to 10)", constants: { renewalsPerSecond: 97 } },
  { what: "renewals 842/s (bound: writer alone, quiet)", constants: { renewalsPerSecond: 842 } },
  { what: "calls 669/s (measured, streams)", constants: { callsPerSecond: 669 } },
  { what: "sequencer 2,200/s (measured, over HTTP)", constants: { entriesPerSecond: 2_200 } },
  { what: "leases 150 (measured, behind a relay)", constants: { leasesPerServer: 150 } },
  { what: "a renewal leaves 8 kB (measured, by a node)", constants: { bytesPerRenewal: 8_000 } },
  { what: "all of what was measured is used", assumed: { used: 1 } },
  { what: "renewals every 15 minutes", assumed: { renewalEverySeconds: 900 } },
  { what: "renewals every 12 hours", assumed: { renewalEverySeconds: 43_200 } },
  { what: "1 call a day", assumed: { callsPerAgentADay: 1 } },
  { what: "1,000 calls a day", assumed: { callsPerAgentADay: 1_000 } },
  { what: "10 agents a verifier", assumed: { agentsPerVerifier: 10 } },
  { what: "an agent a verifier", assumed: { agentsPerVerifier: 1 } },
];

/** The needs with each change alone, the unchanged ones first. */
export function compareChanges(): readonly Changed[] {
  return CHANGES.map(({ what, constants, assumed }) => ({
    what,
    needs: computeNeeds({ ...CONSTANTS, ...constants }, { ...ASSUMED, ...assumed }),
  }));
}
