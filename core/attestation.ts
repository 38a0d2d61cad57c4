/**
 * What was verified about a workload when its identity was issued: kept with the instance, and shown to policies, in
 * decisions and in the ledger. The primitives share these words; who verifies is the business of nodes and attestors.
 */

/**
 * How well the facts bind to the one process, weakest first: nothing was attested (a ticket or grant enrolled it), any
 * process of the same account could pass, the host's kernel tells accounts apart, the launcher made the process and its
 * account or cgroup, or a third party signed a statement about the machine, pod or job.
 */
export const STRENGTHS = ["none", "same_uid", "unix", "launcher", "network"] as const;
export type Strength = (typeof STRENGTHS)[number];

/** The facts of one instance. */
export interface AttestationFacts {
  /** `node`, or the type of the evidence, such as `github`; `none` when nothing was attested. */
  readonly type: string;
  readonly strength: Strength;
  /** Texts `type:value`, sorted, each once; empty when nothing was attested. */
  readonly selectors: readonly string[];
  /** base64url SHA-256 of the declared composition as JCS; null when none was declared. */
  readonly compositionSha256: string | null;
}

/** The facts of an instance that was enrolled by a ticket or grant and declared nothing. */
export const NOTHING_ATTESTED: AttestationFacts = {
  type: "none",
  strength: "none",
  selectors: [],
  compositionSha256: null,
};
