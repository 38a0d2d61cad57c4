/** Checkpoints, policies, and the proofs that lead to them. */
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { consistencyRanges } from "@trustwarden/core/agentledger/consistency-proof.ts";
import { issueCosignature } from "@trustwarden/core/agentledger/cosignature.ts";
import { inclusionRanges } from "@trustwarden/core/agentledger/inclusion-proof.ts";
import { EMPTY_ROOT, type LeafRange, leafHash, rootOf } from "@trustwarden/core/agentledger/merkle.ts";
import { formatRangeProof, outerRanges } from "@trustwarden/core/agentledger/range-proof.ts";
import {
  ALGORITHM_COSIGNATURE,
  createNoteSigner,
  formatVkey,
  rawEd25519Key,
} from "@trustwarden/core/agentledger/signed-note.ts";
import { formatTlogProof } from "@trustwarden/core/agentledger/tlog-proof.ts";
import { encodeBase64, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { NOW, seededLogSigner } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";

const checkpoints = casesOf("checkpoint");
const inclusions = casesOf("inclusion");
const consistencies = casesOf("consistency");
const ranges = casesOf("range");
const proofs = casesOf("tlog_proof");

const ENTRIES = Array.from({ length: 130 }, (_, index) => encodeUtf8(`entry ${index}`));
const LEAVES = ENTRIES.map(leafHash);
const SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 65, 130];
const origin = "ledger.acme.test";
const log = seededLogSigner("ledger");
const vkey = vkeyOf(origin, log);
const witness = seededLogSigner("witness");
const witnessVkey = formatVkey("witness.test", rawEd25519Key(witness.publicKey), ALGORITHM_COSIGNATURE);

/** @returns the cases. */
export function makeLogProof(): readonly VectorCase[] {
  return [...checkpointCases(), ...inclusionCases(), ...consistencyCases(), ...rangeCases(), ...proofCases()];
}

function checkpointCases(): readonly VectorCase[] {
  const note = noteOf(130);
  const [body = "", signature = ""] = note.split("\n\n");
  const stranger = seededLogSigner("another ledger");
  const signedByStranger = issueCheckpoint({ origin, size: 130, root: rootAt(130) }, stranger);
  const line = signedByStranger.split("\n\n")[1] ?? "";
  const value = { origin, size: 130, root: encodeBase64(rootAt(130)) };
  const golden = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
  const rows: readonly (readonly [string, string, string, ErrorCode])[] = [
    ["signed by another key", signedByStranger, vkey, "checkpoint_untrusted"],
    ["of another log", note, vkeyOf("ledger.other.test", log), "checkpoint_untrusted"],
    ["with another size", note.replace("\n130\n", "\n131\n"), vkey, "checkpoint_untrusted"],
    ["with a flipped signature", note.replace(/.{8}\n$/, "AAAAAAA=\n"), vkey, "checkpoint_untrusted"],
    ["of four lines", resigned(`${body}\nextension\n`), vkey, "checkpoint_malformed"],
    ["with a leading zero", resigned(body.replace("\n130\n", "\n0130\n")), vkey, "checkpoint_malformed"],
    [
      "with a size that is rounded",
      resigned(body.replace("\n130\n", "\n9007199254740993\n")),
      vkey,
      "checkpoint_malformed",
    ],
    ["with a short root", resigned(body.replace(/\n[^\n]+$/, "\nAAAA")), vkey, "checkpoint_malformed"],
    ["with a hyphen for the dash", note.replace("\u2014", "-"), vkey, "checkpoint_malformed"],
    ["without a line end", note.slice(0, -1), vkey, "checkpoint_malformed"],
    ["with a carriage return", note.replace("\n130", "\r\n130"), vkey, "checkpoint_malformed"],
    ["without a signature", `${body}\n\n`, vkey, "checkpoint_malformed"],
    [
      "under a vkey with another id",
      note,
      vkey.replace(/\+[0-9a-f]{8}\+/, "+00000000+"),
      "checkpoint_malformed",
    ],
    ["under a vkey of small order", note, smallOrder(), "checkpoint_malformed"],
    ["under a witness's key", note, witnessVkey, "checkpoint_malformed"],
    ["under the golden vkey of the specification", note, golden, "checkpoint_untrusted"],
  ];
  return [
    checkpoints.good("a checkpoint", { note, vkey }, value),
    checkpoints.good(
      "a signature of an unknown key is passed over",
      { note: `${body}\n\n${line}${signature}`, vkey },
      value,
    ),
    ...rows.map(([name, text, key, error]) =>
      checkpoints.bad(`a checkpoint ${name}`, { note: text, vkey: key }, error),
    ),
  ];
}

function inclusionCases(): readonly VectorCase[] {
  const made = SIZES.flatMap((size) =>
    [...new Set([0, 1, Math.floor(size / 2), size - 1])]
      .filter((index) => index < size)
      .map((index) => ({ index, size })),
  );
  const claim = inclusionOf(5, 9);
  const hashes = hashesOf(inclusionRanges(5, 9));
  const [first = "", ...rest] = hashes;
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["at another index", { ...claim, index: 4 }, "proof_invalid"],
    ["in another tree", { ...claim, size: 8 }, "proof_invalid"],
    ["beyond the tree", { ...claim, index: 9 }, "proof_invalid"],
    ["with a hash less", { ...claim, proof: rest }, "proof_invalid"],
    ["with a hash more", { ...claim, proof: [...hashes, first] }, "proof_invalid"],
    ["with two hashes swapped", { ...claim, proof: [...rest, first] }, "proof_invalid"],
    ["of another leaf", { ...claim, leaf: encodeBase64(LEAVES[6] ?? EMPTY_ROOT) }, "proof_invalid"],
    ["to another root", { ...claim, root: encodeBase64(rootAt(8)) }, "proof_invalid"],
    ["with a short hash", { ...claim, proof: ["AAAA", ...rest] }, "proof_malformed"],
    ["at a negative index", { ...claim, index: -1 }, "proof_malformed"],
    ["in a tree of a fraction", { ...claim, size: 9.5 }, "proof_malformed"],
  ];
  return [
    ...made.map(({ index, size }) =>
      inclusions.good(`entry ${index} of ${size}`, inclusionOf(index, size), null),
    ),
    ...rows.map(([name, input, error]) => inclusions.bad(`an entry ${name}`, input, error)),
  ];
}

function consistencyCases(): readonly VectorCase[] {
  const made = SIZES.flatMap((newSize) =>
    [...new Set([0, 1, Math.floor(newSize / 2), newSize])].map((oldSize) => ({ oldSize, newSize })),
  );
  const claim = consistencyOf(5, 9);
  const [first = "", ...rest] = hashesOf(consistencyRanges(5, 9));
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["that shrank", { ...claim, old_size: 9, new_size: 5 }, "proof_invalid"],
    ["with another past", { ...claim, old_root: encodeBase64(rootAt(4)) }, "proof_invalid"],
    ["with another present", { ...claim, new_root: encodeBase64(rootAt(8)) }, "proof_invalid"],
    ["with a hash less", { ...claim, proof: rest }, "proof_invalid"],
    ["with a hash more", { ...claim, proof: [first, ...rest, first] }, "proof_invalid"],
    ["without a proof", { ...claim, proof: [] }, "proof_invalid"],
    [
      "of one size and two roots",
      { ...consistencyOf(9, 9), old_root: encodeBase64(rootAt(8)) },
      "proof_invalid",
    ],
    [
      "from nothing with a root",
      { ...consistencyOf(0, 9), old_root: encodeBase64(rootAt(8)) },
      "proof_invalid",
    ],
    ["with a short hash", { ...claim, proof: ["AAAA", ...rest] }, "proof_malformed"],
    ["of a negative size", { ...claim, old_size: -1 }, "proof_malformed"],
  ];
  return [
    ...made.map(({ oldSize, newSize }) =>
      consistencies.good(`${oldSize} within ${newSize}`, consistencyOf(oldSize, newSize), null),
    ),
    ...rows.map(([name, input, error]) => consistencies.bad(`a log ${name}`, input, error)),
  ];
}

function rangeCases(): readonly VectorCase[] {
  const claim = rangeOf(3, 6, 9);
  const short = formatRangeProof({ start: 3, end: 6, proof: [] });
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    ["with an entry less", { ...claim, leaves: LEAVES.slice(3, 5).map(encodeBase64) }, "proof_invalid"],
    [
      "with an entry of elsewhere",
      { ...claim, leaves: LEAVES.slice(4, 7).map(encodeBase64) },
      "proof_invalid",
    ],
    ["of another tree", { ...claim, size: 8 }, "proof_invalid"],
    ["without its proof", { ...claim, text: short }, "proof_invalid"],
    ["that is empty", { ...claim, text: short.replace("3 6", "3 3"), leaves: [] }, "proof_invalid"],
    ["under another header", { ...claim, text: `x${short}` }, "proof_malformed"],
    ["with a leading zero", { ...claim, text: short.replace("3 6", "03 6") }, "proof_malformed"],
    ["without a line end", { ...claim, text: short.slice(0, -1) }, "proof_malformed"],
    ["with a line that is no hash", { ...claim, text: `${short}AAAA\n` }, "proof_malformed"],
  ];
  return [
    ...[
      rangeOf(0, 130, 130),
      rangeOf(3, 6, 9),
      rangeOf(0, 1, 1),
      rangeOf(64, 65, 130),
      rangeOf(1, 129, 130),
    ].map((input, at) => ranges.good(`range ${at + 1}`, input, null)),
    ...rows.map(([name, input, error]) => ranges.bad(`a range ${name}`, input, error)),
  ];
}

/** A checkpoint with a cosignature, with a later one, and with one that was made up. */
function cosignedNotes(): { readonly cosigned: string; readonly late: string; readonly stolen: string } {
  const note = noteOf(130);
  const [body = ""] = note.split("\n\n");
  const signer = createNoteSigner({
    name: "witness.test",
    signer: witness,
    algorithm: ALGORITHM_COSIGNATURE,
  });
  const cosigned = `${note}${issueCosignature(`${body}\n`, signer, NOW)}`;
  return {
    cosigned,
    late: `${note}${issueCosignature(`${body}\n`, signer, NOW + 1)}`,
    stolen: cosigned.replace(/(witness\.test \S+?)\S{8}\n$/, "$1AAAAAAA=\n"),
  };
}

function proofCases(): readonly VectorCase[] {
  const note = noteOf(130);
  const { cosigned, late, stolen } = cosignedNotes();
  const alone = `log ${vkey}\nquorum none\n`;
  const witnessed = `log ${vkey}\nwitness w ${witnessVkey} https://witness.test/\ngroup g all w\nquorum g\n`;
  const text = proofText(7, note);
  const entry = encodeBase64(ENTRIES[7] ?? EMPTY_ROOT);
  const rows: readonly (readonly [string, JsonObject, ErrorCode])[] = [
    [
      "of another entry",
      { text, entry: encodeBase64(ENTRIES[8] ?? EMPTY_ROOT), policy: alone },
      "proof_invalid",
    ],
    ["without the witness", { text, entry, policy: witnessed }, "checkpoint_unwitnessed"],
    [
      "with a witness's bad signature",
      { text: proofText(7, stolen), entry, policy: witnessed },
      "checkpoint_malformed",
    ],
    [
      "under a policy of another log",
      { text, entry, policy: alone.replace(vkey, vkeyOf("ledger.other.test", log)) },
      "checkpoint_untrusted",
    ],
    ["under another header", { text: text.replace("@v1", "@v2"), entry, policy: alone }, "proof_malformed"],
    ["without an index", { text: text.replace("index 7\n", ""), entry, policy: alone }, "proof_malformed"],
    [
      "with an index with a leading zero",
      { text: text.replace("index 7", "index 07"), entry, policy: alone },
      "proof_malformed",
    ],
    [
      "with an odd extra",
      { text: text.replace("index", "extra !\nindex"), entry, policy: alone },
      "proof_malformed",
    ],
    [
      "with a hash that is none",
      { text: text.replace("index 7\n", "index 7\nAAAA\n"), entry, policy: alone },
      "proof_malformed",
    ],
    [
      "without a checkpoint",
      { text: "c2sp.org/tlog-proof@v1\nindex 7\n", entry, policy: alone },
      "proof_malformed",
    ],
    ...badPolicies({ text, entry, alone, witnessed }),
  ];
  const taken: readonly (readonly [string, JsonObject, number | null])[] = [
    ["a proof of an entry", { text, entry, policy: alone }, null],
    [
      "an extra line is not believed",
      { text: text.replace("index", "extra AAAA\nindex"), entry, policy: alone },
      null,
    ],
    ["a witnessed proof", { text: proofText(7, cosigned), entry, policy: witnessed }, NOW],
    ["a policy with comments", { text, entry, policy: `# mine\n\n\t${alone}` }, null],
    ["a later cosignature", { text: proofText(7, late), entry, policy: witnessed }, NOW + 1],
  ];
  return [
    ...taken.map(([name, input, at]) => proofs.good(name, input, { index: 7, size: 130, cosigned_at: at })),
    ...rows.map(([name, input, error]) => proofs.bad(`a proof ${name}`, input, error)),
  ];
}

/** A proof that holds, under policies that are none. */
function badPolicies({
  text,
  entry,
  alone,
  witnessed,
}: {
  readonly text: string;
  readonly entry: string;
  readonly alone: string;
  readonly witnessed: string;
}): readonly (readonly [string, JsonObject, ErrorCode])[] {
  return [
    ["under a policy without a quorum", { text, entry, policy: `log ${vkey}\n` }, "witness_policy_malformed"],
    [
      "under a policy with an unknown word",
      { text, entry, policy: `trust me\n${alone}` },
      "witness_policy_malformed",
    ],
    [
      "under a policy with a member that is not defined",
      { text, entry, policy: `log ${vkey}\ngroup g 1 w\nquorum g\n` },
      "witness_policy_malformed",
    ],
    [
      "under a policy with one key twice",
      { text, entry, policy: `${witnessed.replace("quorum g", `witness v ${witnessVkey}\nquorum g`)}` },
      "witness_policy_malformed",
    ],
    [
      "under a policy with a threshold above its members",
      { text, entry, policy: witnessed.replace("all", "2") },
      "witness_policy_malformed",
    ],
    [
      "under a policy with a witness's key for its log",
      { text, entry, policy: `log ${witnessVkey}\nquorum none\n` },
      "witness_policy_malformed",
    ],
    [
      "under a policy with a URL that is none",
      { text, entry, policy: witnessed.replace("https:", "ftp:") },
      "witness_policy_malformed",
    ],
  ];
}

function inclusionOf(index: number, size: number): JsonObject {
  const leaf = encodeBase64(LEAVES[index] ?? EMPTY_ROOT);
  return {
    index,
    size,
    leaf,
    proof: hashesOf(inclusionRanges(index, size)),
    root: encodeBase64(rootAt(size)),
  };
}

function consistencyOf(oldSize: number, newSize: number): JsonObject {
  return {
    old_size: oldSize,
    old_root: encodeBase64(rootAt(oldSize)),
    new_size: newSize,
    new_root: encodeBase64(rootAt(newSize)),
    proof: hashesOf(consistencyRanges(oldSize, newSize)),
  };
}

function rangeOf(start: number, end: number, size: number): JsonObject {
  const proof = outerRanges({ start, end }, size).map((range) =>
    rootOf(LEAVES.slice(range.start, range.end)),
  );
  return {
    text: formatRangeProof({ start, end, proof }),
    size,
    leaves: LEAVES.slice(start, end).map(encodeBase64),
    root: encodeBase64(rootAt(size)),
  };
}

function proofText(index: number, checkpoint: string): string {
  const proof = inclusionRanges(index, 130).map(({ start, end }) => rootOf(LEAVES.slice(start, end)));
  return formatTlogProof({ index, proof, checkpoint });
}

function hashesOf(outside: readonly LeafRange[]): string[] {
  return outside.map(({ start, end }) => encodeBase64(rootOf(LEAVES.slice(start, end))));
}

function noteOf(size: number): string {
  return issueCheckpoint({ origin, size, root: rootAt(size) }, log);
}

/** A text that the log's key really signed, well formed or not. */
function resigned(text: string): string {
  const { name, keyId, signer } = createNoteSigner({ name: origin, signer: log });
  const blob = Buffer.concat([keyId, signer.sign(encodeUtf8(text.endsWith("\n") ? text : `${text}\n`))]);
  return `${text.endsWith("\n") ? text : `${text}\n`}\n\u2014 ${name} ${blob.toString("base64")}\n`;
}

function smallOrder(): string {
  return formatVkey(origin, new Uint8Array(32));
}

function rootAt(size: number): Uint8Array {
  return size === 0 ? EMPTY_ROOT : rootOf(LEAVES.slice(0, size));
}

function vkeyOf(name: string, signer: typeof log): string {
  return formatVkey(name, rawEd25519Key(signer.publicKey));
}
