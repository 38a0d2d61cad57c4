/**
 * The policy by which this side calls a checkpoint proven: a file that whoever runs the command trusts. Named on the
 * command line, or `witness.policy` in the configuration directory; never the server's own word.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  originOfNote,
  verifyWitnessedCheckpoint,
  vkeyUnder,
} from "@trustwarden/core/agentledger/cosignature.ts";
import { isSameLogKey, vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import {
  needsWitnesses,
  parseTlogPolicy,
  type TlogPolicy,
} from "@trustwarden/core/agentledger/tlog-policy.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Paths } from "./paths.ts";
import { readTextFile } from "./text-file.ts";

const DEFAULT_FILE = "witness.policy";

/** How far a checkpoint is proven to others than the log. */
export type WitnessStatus =
  | { readonly kind: "proven"; readonly witnesses: readonly string[]; readonly cosignedAt: number }
  /** A policy is at hand, and too few of its witnesses have cosigned. */
  | { readonly kind: "unwitnessed" }
  /** No policy is at hand; `isClaimed` is what the server says. */
  | { readonly kind: "unchecked"; readonly isClaimed: boolean };

/** The policy of the file that is named, else of the configuration directory; null where there is none. */
export function readWitnessPolicy(
  { configDir }: Pick<Paths, "configDir">,
  named?: string | undefined,
): TlogPolicy | null {
  const file = named ?? join(configDir, DEFAULT_FILE);
  if (named === undefined && !existsSync(file)) return null;
  return parseTlogPolicy(readTextFile(file));
}

/**
 * What a policy says of a checkpoint.
 *
 * @throws TrustWardenError `checkpoint_untrusted` or `checkpoint_malformed` for a bad line of a key that it names.
 */
export function readWitnessStatus(
  note: string,
  {
    policy,
    vkey,
    key = vkey,
    isClaimed,
  }: {
    readonly policy: TlogPolicy | null;
    /** Of the ledger's first log. */
    readonly vkey: string;
    /** To which that one leads at the note's shard, of the ledger's name; the first unless given. */
    readonly key?: string;
    readonly isClaimed: boolean;
  },
): WitnessStatus {
  if (policy === null) return { kind: "unchecked", isClaimed };
  try {
    const complete = completePolicy(policy, vkey);
    const { cosignatures } = verifyWitnessedCheckpoint(
      note,
      complete,
      keyUnder(complete, { note, vkey, key }),
    );
    // Under `quorum none` nobody else has to have said anything, so whoever did proves nothing to anybody else.
    if (!needsWitnesses(policy)) return { kind: "unchecked", isClaimed };
    return {
      kind: "proven",
      witnesses: cosignatures.map(({ witness }) => witness),
      cosignedAt: Math.max(...cosignatures.map(({ cosignedAt }) => cosignedAt)),
    };
  } catch (error) {
    if (error instanceof TrustWardenError && error.code === "checkpoint_unwitnessed")
      return { kind: "unwitnessed" };
    throw error;
  }
}

/** The same as one clause of a sentence. */
export function formatWitnessStatus(status: WitnessStatus): string {
  switch (status.kind) {
    case "proven":
      return `witnessed: ${status.witnesses.join(", ")} cosigned this tree by ${new Date(status.cosignedAt * 1000).toISOString()}`;
    case "unwitnessed":
      return "unwitnessed: too few witnesses of your policy have cosigned this tree, so it is not proven to be the one that others see";
    case "unchecked":
      return status.isClaimed
        ? "unwitnessed as far as this side knows: the server says otherwise, and a policy of your own would check it (docs/guides/witnesses.md)"
        : "unwitnessed: nobody else has countersigned this tree, so it shows tampering only to who kept an earlier checkpoint";
  }
}

/** The policy's key for a note's log; where that is the ledger's first key, the one that it leads to. */
function keyUnder(
  policy: TlogPolicy,
  { note, vkey, key }: { readonly note: string; readonly vkey: string; readonly key: string },
): string {
  const origin = originOfNote(note);
  const own = vkeyUnder(policy, origin);
  return isSameLogKey(own, vkey) ? vkeyFor(key, origin) : own;
}

/** A policy that names no log is about the log of this key. */
function completePolicy(policy: TlogPolicy, vkey: string): TlogPolicy {
  return policy.logs.length > 0 ? policy : { ...policy, logs: [{ vkey, key: parseVkey(vkey), url: null }] };
}
