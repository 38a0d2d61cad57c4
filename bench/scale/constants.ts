/** What the simulation of a larger size may start from: figures that a benchmark has measured, each with its place in `bench/README.md`. */

/** A figure and where it is from. */
export interface Measured {
  readonly value: number;
  readonly what: string;
  /** The command that measures it, and the section of `bench/README.md` (or file) that has it. */
  readonly source: string;
}

/** All of two cores of an AMD EPYC, which server, callers and whatever else ran shared. */
export const MEASURED = {
  renewalsPerSecond: {
    value: 222,
    what: "renewals a second that one deployment issues and records",
    source: "`./dev bench spire`, quiet: Beside SPIRE",
  },
  callsPerSecond: {
    value: 742,
    what: "calls a second that one server guards and records (gateway, JSON)",
    source: "`./dev bench gateway --quick`, load 1.5: The gateway, beside LiteLLM",
  },
  entriesPerSecond: {
    value: 6_578,
    what: "entries a second that one sequencer verifies and makes durable",
    source: "`./dev bench tessera`, load 9: The ledger, beside Tessera",
  },
  entriesPerCall: {
    value: 3,
    what: "ledger entries of a guarded call",
    source: "`./dev bench cost`: What one call costs",
  },
  bytesPerCall: {
    value: 2_842,
    what: "bytes of ledger that a guarded call leaves",
    source: "`./dev bench cost`: What one call costs",
  },
  entriesPerRenewal: {
    value: 2,
    what: "ledger entries of a renewal",
    source: "`./dev bench cost`: What one call costs",
  },
  bytesPerRenewal: {
    value: 5_627,
    what: "bytes of ledger that a renewal leaves",
    source: "`./dev bench cost`: What one call costs",
  },
  indexBytesPerEvent: {
    value: 284,
    what: "bytes of search index of an event",
    source: "`./dev bench questions`: Questions to ten million events",
  },
  stateBytesPerAgent: {
    value: 2_000,
    what: "bytes of state of an agent (3.0 GB of 1.5 million)",
    source: "`./dev bench size`: Moltbook's size",
  },
  residentBytesPerInstance: {
    value: 9_018,
    what: "bytes resident in the server for a live instance (86 MiB of 10,000)",
    source: "`bench/spire/memory.ts`, load 15: Memory of 10,000",
  },
  residentBytesPerAgent: {
    value: 214_016,
    what: "bytes resident at an agent that shares its process with others (209 KiB)",
    source: "`bench/one-process.ts`, load 7: Many agents in one process",
  },
  leasesPerServer: {
    value: 1_000,
    what: "leases that one server kept while all of them were told of a stop",
    source: "`./dev bench revocation --verifiers 1000`, load 1.4: Stopping somebody",
  },
} as const satisfies Readonly<Record<string, Measured>>;

/** Names of the measured figures. */
export type ConstantName = keyof typeof MEASURED;
/** The figures without their sources. */
export type Constants = Readonly<Record<ConstantName, number>>;

/** The figures as measured. */
export const CONSTANTS: Constants = {
  renewalsPerSecond: MEASURED.renewalsPerSecond.value,
  callsPerSecond: MEASURED.callsPerSecond.value,
  entriesPerSecond: MEASURED.entriesPerSecond.value,
  entriesPerCall: MEASURED.entriesPerCall.value,
  bytesPerCall: MEASURED.bytesPerCall.value,
  entriesPerRenewal: MEASURED.entriesPerRenewal.value,
  bytesPerRenewal: MEASURED.bytesPerRenewal.value,
  indexBytesPerEvent: MEASURED.indexBytesPerEvent.value,
  stateBytesPerAgent: MEASURED.stateBytesPerAgent.value,
  residentBytesPerInstance: MEASURED.residentBytesPerInstance.value,
  residentBytesPerAgent: MEASURED.residentBytesPerAgent.value,
  leasesPerServer: MEASURED.leasesPerServer.value,
};

/** What nobody measured: how the agents behave, and how much is held back. */
export interface Assumptions {
  readonly agents: number;
  /** Half of the hour that a certificate lives. */
  readonly renewalEverySeconds: number;
  readonly callsPerAgentADay: number;
  /** How many agents come to one service or gateway. */
  readonly agentsPerVerifier: number;
  readonly regions: number;
  /** Share of what was measured as the most that is used: the rest is for peaks and for a server that died. */
  readonly used: number;
}

/** The size that the issue names, and round numbers. */
export const ASSUMED: Assumptions = {
  agents: 1_300_000_000,
  renewalEverySeconds: 1_800,
  callsPerAgentADay: 24,
  agentsPerVerifier: 1_000,
  regions: 10,
  used: 0.5,
};
