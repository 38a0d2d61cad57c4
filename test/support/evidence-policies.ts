/** Policies that say a thing twice: a verifier that believes the last line trusts whoever could add one. */
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import {
  ALGORITHM_COSIGNATURE,
  formatVkey,
  rawEd25519Key,
} from "@trustwarden/core/agentledger/signed-note.ts";

const [W1, W2] = ["w1.example/w", "w2.example/w"].map((name, index) =>
  formatVkey(name, rawEd25519Key(createTestLogSigner(41 + index).publicKey), ALGORITHM_COSIGNATURE),
);

/** Each with what it says twice; without its last line but one, none would be met by a log that nobody witnessed. */
export function repeatingPolicies(vkey: string): readonly { readonly name: string; readonly text: string }[] {
  const witnesses = [`witness w1 ${W1}`, `witness w2 ${W2}`];
  const policy = (name: string, lines: readonly string[]) => ({
    name,
    text: [`log ${vkey}`, ...lines, ""].join("\n"),
  });
  return [
    policy("two quorums", [...witnesses, "group all 2 w1 w2", "quorum all", "quorum none"]),
    policy("one quorum twice", ["quorum none", "quorum none"]),
    policy("two groups of one name", [...witnesses, "group g all w1", "group g any w2", "quorum none"]),
    policy("two witnesses of one name", [`witness w ${W1}`, `witness w ${W2}`, "quorum none"]),
    policy("a group under a witness's name", [...witnesses, "group w1 any w2", "quorum none"]),
    policy("a witness under a group's name", [
      witnesses[0] ?? "",
      "group g any w1",
      `witness g ${W2}`,
      "quorum none",
    ]),
    policy("a group called none", [...witnesses, "group none any w1", "quorum none"]),
    policy("two logs", [`log ${vkey}`, "quorum none"]),
  ];
}
