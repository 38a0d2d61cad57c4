/** What a policy file says of a checkpoint. */
import { createHistory, HISTORY_VKEY } from "@trustwarden/core/agentledger/history.test.support.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import {
  ALGORITHM_COSIGNATURE,
  createNoteSigner,
  formatVkey,
  parseVkey,
  rawEd25519Key,
} from "@trustwarden/core/agentledger/signed-note.ts";
import { parseTlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { decideSubmission, readSubmission } from "@trustwarden/core/agentledger/witness.ts";
import { describe, expect, it } from "vitest";
import { readWitnessStatus } from "./witness-policy.ts";

const signer = createTestLogSigner(41);
const witness = createNoteSigner({ name: "w.test/1", signer, algorithm: ALGORITHM_COSIGNATURE });
const witnessVkey = formatVkey("w.test/1", rawEd25519Key(signer.publicKey), ALGORITHM_COSIGNATURE);
const logs = new Map([[parseVkey(HISTORY_VKEY).name, { vkey: HISTORY_VKEY, key: parseVkey(HISTORY_VKEY) }]]);

function cosignedNote(): string {
  const submission = readSubmission(createHistory().submission(0, 5), logs);
  if ("status" in submission) throw new Error("it is good");
  const step = decideSubmission(submission, { remembered: null, witness, now: 1_795_000_000 });
  return step.kind === "accepted" ? step.remember : "";
}
const statusUnder = (quorum: string, note: string) =>
  readWitnessStatus(note, {
    policy: parseTlogPolicy(`witness one ${witnessVkey}\nquorum ${quorum}\n`),
    vkey: HISTORY_VKEY,
    isClaimed: true,
  }).kind;

describe("a policy file at hand", () => {
  it("calls proven what its quorum has cosigned, and nothing else", () => {
    expect(statusUnder("one", cosignedNote())).toBe("proven");
    expect(statusUnder("one", createHistory().note(5))).toBe("unwitnessed");
  });

  it("calls nothing proven where it asks for no witness, whoever has cosigned", () => {
    expect(statusUnder("none", cosignedNote())).toBe("unchecked");
    expect(statusUnder("none", createHistory().note(5))).toBe("unchecked");
  });
});
