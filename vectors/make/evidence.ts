import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { consistencyRanges } from "@trustwarden/core/agentledger/consistency-proof.ts";
import { formatEntryPath, formatProofPath } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import {
  EARLIER_FILE,
  formatConsistencyProof,
  GROWTH_FILE,
} from "@trustwarden/core/agentledger/evidence-growth.ts";
import { encodePayloadFile, formatPayloadPath } from "@trustwarden/core/agentledger/evidence-payloads.ts";
import { leafHash, rootOf } from "@trustwarden/core/agentledger/merkle.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { encodeBase64, encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import type { ErrorCode } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { NOW } from "../seeded.ts";
import { casesOf, type VectorCase } from "../vector-case.ts";
import type { ApprovalLie } from "./evidence-approval.ts";
import {
  bundleOf,
  type FileLies,
  inputOf,
  type Lie,
  type LogLies,
  origin,
  rangeIndexes,
  signer,
  vkey,
} from "./evidence-bundles.ts";
import { domain, makeLog, PAYLOAD, server, verifier } from "./evidence-log.ts";

const { good, bad } = casesOf("evidence");
const ACTION = "01990000-0000-7000-8000-000000000001";
const REPEATED = "01990000-0000-7000-8000-000000000099";

/** @returns the cases. */
export function makeEvidence(): readonly VectorCase[] {
  const whole = bundleOf({});
  const fingerprint = encodeHex(sha256(domain.root.der));
  const event = {
    outcome: "success",
    agent: "agt_pay",
    owner: "own_1",
    authorized_by: ["ticket own_1"],
    stopped_by: 1,
  };
  return [
    good("an event", { ...inputOf(whole) }, { ...seen(8), events: [event] }),
    good(
      "an event, under a root's fingerprint",
      { ...inputOf(whole), roots: fingerprint.toUpperCase() },
      { ...seen(8), events: [event] },
    ),
    good("an event whose end nobody recorded", inputOf(bundleOf({ log: { hasOutcome: false } })), {
      ...seen(7),
      alarms: ["decision_without_outcome"],
      events: [{ ...event, outcome: "pending" }],
    }),
    good("an event whose end was recorded twice", inputOf(bundleOf({ log: { repeats: "outcome" } })), {
      ...seen(9),
      alarms: ["record_repeated"],
      events: [event],
    }),
    bad(
      "an event whose end was recorded in two ways",
      inputOf(bundleOf({ log: { repeats: "another outcome" } })),
      "evidence_bundle_invalid",
    ),
    good("a range", inputOf(bundleOf({}, true)), {
      ...seen(8),
      events: rangeEvents(),
    }),
    ...makeDocuments(event),
    ...makeGrowth(event),
    ...makeApprovals(event),
    ...makePayloads(event),
    ...lies().map(([name, lie, error]) => bad(`a bundle ${name}`, inputOf(bundleOf(lie)), error)),
    bad(
      "a range that hides an event",
      inputOf(bundleOf({ events: rangeIndexes().slice(0, -1) }, true)),
      "evidence_bundle_invalid",
    ),
    bad(
      "a bundle under a stranger's fingerprint",
      { ...inputOf(whole), roots: fingerprint.replace(/^../, "00") },
      "evidence_bundle_invalid",
    ),
    bad(
      "a bundle of another log",
      { ...inputOf(whole), vkey: formatVkey("ledger.other.test", rawEd25519Key(signer.publicKey)) },
      "checkpoint_untrusted",
    ),
    bad("a bundle with a flipped bit", inputOf(flipped(whole)), "evidence_bundle_malformed"),
    bad("a bundle that is cut off", inputOf(whole.slice(0, -1)), "evidence_bundle_malformed"),
    bad(
      "a bundle with a byte behind it",
      inputOf(Uint8Array.from([...whole, 0])),
      "evidence_bundle_malformed",
    ),
    bad("nothing", inputOf(new Uint8Array(0)), "evidence_bundle_malformed"),
  ];
}

/** What a bundle is found to have, without anything of what may come along. */
function seen(entries: number) {
  return { entries, signatures: entries, alarms: [], earlier: null, payloads: [] };
}

/** Documents by which an instance was let be: from when, until when, and for how much. */
function makeDocuments(event: JsonObject): readonly VectorCase[] {
  const right = (what: string, log: LogLies, entries: number) =>
    good(`a bundle whose agent's ${what}`, inputOf(bundleOf({ log })), { ...seen(entries), events: [event] });
  const wrong = (what: string, log: LogLies) =>
    bad(`a bundle whose agent's ${what}`, inputOf(bundleOf({ log })), "evidence_bundle_invalid");
  return [
    right("ticket ended half a minute before", { ticketAge: -3619 }, 8),
    wrong("ticket had expired", { ticketAge: -3620 }),
    right("ticket is of half a minute later", { ticketAge: 40 }, 8),
    wrong("ticket is of later", { ticketAge: 41 }),
    right("grant is for less than it had", { childScope: ["write:transactions:eu/**"] }, 9),
    right("grant is for what it had", { childScope: ["write:transactions"] }, 9),
    wrong("grant is for another verb", { childScope: ["read:transactions"] }),
    wrong("grant is for every type", { childScope: ["write:*"] }),
    right("registration entry is in force", { entryAge: 0 }, 9),
    right("registration entry ends right after", { entryAge: -3589 }, 9),
    wrong("registration entry had expired", { entryAge: -3590 }),
  ];
}

/** What a human said yes to. */
function makeApprovals(event: JsonObject): readonly VectorCase[] {
  const ownerId = "own_01JABCDEFGHJKMNPQRSTVWXYZ0";
  const chain = [`owner:${ownerId}`, "agt_pay"];
  const log = (approval: ApprovalLie): Lie => ({ log: { ownerId, chain, approval } });
  const told = { ...event, owner: ownerId, authorized_by: [`ticket ${ownerId}`] };
  const rows: readonly (readonly [string, ApprovalLie, ErrorCode])[] = [
    ["of a stranger", { by: "stranger" }, "evidence_bundle_invalid"],
    ["that says no", { changes: { answer: "deny" } }, "evidence_bundle_invalid"],
    ["of another action", { changes: { action: "read:transactions" } }, "evidence_bundle_invalid"],
    ["of another resource", { changes: { resource: "postgres://finance-db" } }, "evidence_bundle_invalid"],
    [
      "for another agent",
      { changes: { agent: "spiffe://acme.test/team/pay/inst-01K" } },
      "evidence_bundle_invalid",
    ],
    ["for another service", { changes: { audience: "spiffe://acme.test/bank" } }, "evidence_bundle_invalid"],
    ["for another trust domain", { changes: { aud: "spiffe://other.test" } }, "evidence_bundle_invalid"],
    ["under another policy", { changes: { policy_sha256: "A".repeat(43) } }, "evidence_bundle_invalid"],
    ["that had ended", { changes: { iat: NOW - 500, exp: NOW + 10 } }, "evidence_bundle_invalid"],
    ["of longer than a quarter of an hour", { changes: { exp: NOW + 901 } }, "evidence_bundle_invalid"],
    ["that was not used up", { uses: [] }, "evidence_bundle_invalid"],
    ["that was used for something else", { uses: [REPEATED] }, "evidence_bundle_invalid"],
    ["that was used twice", { uses: [ACTION, ACTION] }, "evidence_bundle_invalid"],
    ["whose owner the decision misnames", { named: { owner: "own_1" } }, "evidence_bundle_invalid"],
    [
      "whose text the decision misnames",
      { named: { envelope_sha256: "A".repeat(43) } },
      "evidence_bundle_invalid",
    ],
    ["that nobody gave", { named: { id: REPEATED } }, "evidence_bundle_invalid"],
  ];
  return [
    good("an event that a human approved", inputOf(bundleOf(log({}))), { ...seen(10), events: [told] }),
    ...rows.map(([name, lie, error]) =>
      bad(`an event with an approval ${name}`, inputOf(bundleOf(log(lie))), error),
    ),
  ];
}

/** A log that was not rewritten since a checkpoint, and one that was. */
function makeGrowth(event: JsonObject): readonly VectorCase[] {
  const grown = inputOf(bundleOf({ files: (files, leaves) => addGrowth(files, leaves, 5) }));
  const held = earlierNote(makeLog({}).entries.map(leafHash), 5);
  const found = { ...seen(8), events: [event] };
  const wrong = (what: string, files: FileLies, error: ErrorCode = "evidence_bundle_invalid") =>
    bad(`a bundle ${what}`, { ...inputOf(bundleOf({ files })), earlier: held }, error);
  return [
    good("a bundle whose log grew since", grown, { ...found, earlier: 5 }),
    good(
      "a bundle whose log grew since your checkpoint",
      { ...grown, earlier: held },
      { ...found, earlier: 5 },
    ),
    good(
      "a bundle of the whole log that you hold",
      {
        ...inputOf(bundleOf({ files: (files, leaves) => addGrowth(files, leaves, 8) })),
        earlier: earlierNote(makeLog({}).entries.map(leafHash), 8),
      },
      { ...found, earlier: 8 },
    ),
    good(
      "a bundle without a way from your checkpoint",
      { ...inputOf(bundleOf({})), earlier: held },
      { ...found, alarms: ["earlier_checkpoint_missing"] },
    ),
    wrong("whose log grew since another checkpoint than yours", (files, leaves) =>
      addGrowth(files, leaves, 6),
    ),
    wrong("whose log was rewritten", (files, leaves) => addGrowth(files, forked(leaves), 5), "proof_invalid"),
    wrong("that has your checkpoint and no proof", (files, leaves) => {
      addGrowth(files, leaves, 5);
      files.delete(GROWTH_FILE);
    }),
    wrong("that has a proof of other trees", (files, leaves) => {
      addGrowth(files, leaves, 6);
      files.set(EARLIER_FILE, encodeUtf8(held));
    }),
    wrong(
      "that has no proof but a text",
      (files, leaves) => {
        addGrowth(files, leaves, 5);
        files.set(GROWTH_FILE, encodeUtf8("trust me\n"));
      },
      "proof_malformed",
    ),
  ];
}

function addGrowth(files: Map<string, Uint8Array>, leaves: readonly Uint8Array[], size: number): void {
  const proof = consistencyRanges(size, leaves.length).map(({ start, end }) =>
    rootOf(leaves.slice(start, end)),
  );
  files.set(EARLIER_FILE, encodeUtf8(earlierNote(leaves, size)));
  const text = formatConsistencyProof({ oldSize: size, newSize: leaves.length, proof });
  files.set(GROWTH_FILE, encodeUtf8(text));
}

function earlierNote(leaves: readonly Uint8Array[], size: number): string {
  return issueCheckpoint({ origin, size, root: rootOf(leaves.slice(0, size)) }, signer);
}

/** Another first entry. */
function forked(leaves: readonly Uint8Array[]): readonly Uint8Array[] {
  return [leafHash(encodeUtf8("forked")), ...leaves.slice(1)];
}

/** What was asked and answered: as it was committed to, as it was not, and erased. */
function makePayloads(event: JsonObject): readonly VectorCase[] {
  const id = "01990000-0000-7000-8000-000000000001";
  const withFile = (changes: Partial<Parameters<typeof encodePayloadFile>[0]>, log: LogLies = {}) => {
    const content = encodePayloadFile({ ...PAYLOAD, ...changes });
    return inputOf(bundleOf({ log, files: (files) => files.set(formatPayloadPath(id), content) }));
  };
  const wrong = (what: string, input: JsonObject) =>
    bad(`a payload ${what}`, input, "evidence_bundle_invalid");
  const found = { ...seen(8), events: [event] };
  const other = encodeUtf8("pay 8 Elm Street");
  return [
    good("a payload", withFile({}), { ...found, payloads: [`disclosed ${id}`] }),
    good("a payload without its answer", withFile({ answer: null }), {
      ...found,
      payloads: [`disclosed ${id}`],
    }),
    good("a payload that was erased", inputOf(bundleOf({ log: { isErased: true } })), {
      ...seen(9),
      events: [event],
      payloads: [`erased ${id}`],
    }),
    wrong("that is here and was erased", withFile({}, { isErased: true })),
    wrong("with another request", withFile({ request: other })),
    wrong("with another target", withFile({ target: "/v2/transactions" })),
    wrong("with another answer", withFile({ answer: other })),
    wrong("with another salt", withFile({ salt: sha256(other) })),
    wrong("with an answer that no outcome commits to", withFile({}, { hasOutcome: false })),
    wrong(
      "of no event",
      inputOf(
        bundleOf({
          files: (files) => files.set(formatPayloadPath(id.replace(/1$/, "2")), encodePayloadFile(PAYLOAD)),
        }),
      ),
    ),
  ];
}

function lies(): readonly (readonly [string, Lie, ErrorCode])[] {
  return [
    ["whose agent nobody let be", { log: { ticketBy: "stranger" } }, "evidence_bundle_invalid"],
    ["whose agent has another key", { log: { possessionBy: "stranger" } }, "evidence_bundle_invalid"],
    [
      "whose agent got more than was signed",
      { log: { scope: ["delete:everything"] } },
      "evidence_bundle_invalid",
    ],
    ["whose decision no server signed", { log: { decisionBy: "verifier" } }, "evidence_bundle_invalid"],
    [
      "whose decision names another chain",
      { log: { chain: ["owner:own_1", "agt_other", "agt_pay"] } },
      "evidence_bundle_invalid",
    ],
    ["whose outcome is somebody else's", { log: { outcomeBy: "agent" } }, "evidence_bundle_invalid"],
    ["whose intent another agent signed", { log: { intentBy: "stranger" } }, "evidence_bundle_invalid"],
    ["without the certificate of its server", { log: { hasServer: false } }, "evidence_bundle_invalid"],
    ["with an altered entry", { files: alterEntry }, "proof_invalid"],
    ["with the proof of another entry", { files: swapProofs }, "evidence_bundle_invalid"],
    ["without a checkpoint", { files: (files) => files.delete("checkpoint") }, "evidence_bundle_malformed"],
    ["with an entry that nobody names", { files: addEntry }, "evidence_bundle_malformed"],
    [
      "whose manifest names another tree",
      { manifest: { log: { vkey, size: 7, root: encodeBase64(new Uint8Array(32)) } } },
      "evidence_bundle_invalid",
    ],
    ["whose manifest counts wrong", { manifest: { entries: 7 } }, "evidence_bundle_invalid"],
    ["of another trust domain", { manifest: { trust_domain: "other.test" } }, "evidence_bundle_invalid"],
    ["whose manifest a verifier signed", { signedBy: verifier }, "evidence_bundle_invalid"],
    [
      "whose event has another name",
      { events: [{ event_id: "01990000-0000-7000-8000-000000000099", indexes: [4, 5, 6] }] },
      "evidence_bundle_invalid",
    ],
  ];
}

function rangeEvents(): JsonObject[] {
  const row = (outcome: string, agent: string | null, owner: string | null, by: string[], stops: number) => ({
    outcome,
    agent,
    owner,
    authorized_by: by,
    stopped_by: stops,
  });
  return [
    row("success", null, null, [], 0),
    row("success", null, "own_1", [], 0),
    row("success", "agt_pay", "own_1", ["ticket own_1"], 1),
    row("success", null, null, [`ticket ${server.id}`], 0),
    row("success", "agt_pay", "own_1", ["ticket own_1"], 1),
    row("success", "agt_pay", "own_1", ["ticket own_1"], 1),
  ];
}

function alterEntry(files: Map<string, Uint8Array>): void {
  const entry = Uint8Array.from(files.get(formatEntryPath(4)) ?? []);
  entry[entry.length - 10] = (entry[entry.length - 10] ?? 0) ^ 1;
  files.set(formatEntryPath(4), entry);
}

function swapProofs(files: Map<string, Uint8Array>): void {
  files.set(formatProofPath(4), files.get(formatProofPath(5)) ?? new Uint8Array(0));
}

function addEntry(files: Map<string, Uint8Array>): void {
  files.set(formatEntryPath(99), encodeUtf8("{}"));
}

function flipped(bundle: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bundle);
  copy[500] = (copy[500] ?? 0) ^ 1;
  return copy;
}
