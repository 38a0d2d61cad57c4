/** Logs in which an agent goes by another name, or in another trust domain, than whoever let it be had signed. */
import { digestOfEnrolment, formatOwnerKeyid, issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { grantOf, proofOf, type TestInstance, ticketDocument } from "./actors.ts";
import type { Forgery } from "./evidence-forgeries.ts";
import { type Payload, relog } from "./evidence-presented.ts";
import type { TransferStory } from "./evidence-transfers.ts";

/** One that is none: the ticket names the very key that used it. */
export function heldTicket(story: TransferStory): Uint8Array {
  const { before, giver } = story;
  const named = { name: "keeper", holder_thumbprint: thumbprintOf(before) };
  const ticket = issueTicket(
    ticketDocument(giver.ownerId, named),
    giver.signer,
    formatOwnerKeyid(giver.signer.publicKey),
  );
  return withEnrolment(story, before, ticket);
}

const thumbprintOf = ({ signer }: TestInstance) => formatThumbprint(signer.publicKey);

/** Each is signed by the server and proven in a tree of its own; every signature of an owner, a parent and a key is a true one. */
export function nameForgeries(story: TransferStory): readonly Forgery[] {
  const { giver, before, child } = story;
  const forge = (name: string, instance: TestInstance, enrolment: string): Forgery => ({
    name,
    bytes: withEnrolment(story, instance, enrolment),
  });
  const ticketOf = (changes: Parameters<typeof ticketDocument>[1]) =>
    issueTicket(
      ticketDocument(giver.ownerId, { name: "keeper", ...changes }),
      giver.signer,
      formatOwnerKeyid(giver.signer.publicKey),
    );
  return [
    forge("a ticket for another name", before, ticketOf({ name: "another" })),
    forge("a ticket for another path", before, ticketOf({ path: "elsewhere" })),
    forge(
      "a ticket for another trust domain",
      before,
      ticketOf({ aud: parseSpiffeId("spiffe://elsewhere.test") }),
    ),
    forge("a grant for another name", child, grantOf(before, child.signer, { name: "another" })),
    forge("a ticket for another key", before, ticketOf({ holder_thumbprint: thumbprintOf(child) })),
    forge(
      "a grant for another key",
      child,
      grantOf(before, before.signer, { name: child.answer.name, scope: child.answer.scope }),
    ),
  ];
}

/** A log that ends with records that are not so, and what a verifier says of it. */
export interface ToldForgery extends Forgery {
  readonly why: RegExp;
}

/** Records in the story's log, as another may stand behind them. */
type More = (controls: readonly Payload[]) => readonly Payload[];

/** The log with the child let be once more at its end, by its parent's true word of now: nothing forbids that. */
export const childAgain = (story: TransferStory): Uint8Array => withMore(story, reissue(story, {}));

/** The log with an entry of the owner's at its end. */
export const entryOfOwner = (story: TransferStory): Uint8Array =>
  withMore(story, entryBy(story, story.giver.signer));

/** As `nameForgeries`, of what stands at the end of the log. */
export function lateForgeries(story: TransferStory): readonly ToldForgery[] {
  const { before, child } = story;
  const forge = (name: string, why: RegExp, more: More): ToldForgery => {
    return { name, why, bytes: withMore(story, more) };
  };
  const parent = before.answer.spiffe_id;
  return [
    forge("one grant for two", /used before/, (controls) => [issueOf(controls, child)]),
    forge(
      "a grant of before a revocation",
      /of before a revocation/,
      reissue(story, { first: (issue) => [ending(issue, { subject: child.answer.spiffe_id })] }),
    ),
    forge(
      "a grant of a parent that was revoked",
      /parent that was revoked/,
      reissue(story, {
        later: 1,
        first: (issue) => [ending({ ...issue, epoch: Number(issue.epoch) + 1 }, { subject: parent })],
      }),
    ),
    forge(
      "a grant of what the parent had no more",
      /more than the parent had/,
      reissue(story, {
        first: (issue) => [
          { ...issue, kind: "narrow", subject: parent, details: { scope: ["read:nothing"] } },
        ],
      }),
    ),
    forge(
      "a grant of what the parent never had",
      /more than the parent had/,
      reissue(story, { scope: ["read:everything"] }),
    ),
    forge("an entry that somebody else signed", /entry/, entryBy(story, child.signer)),
  ];
}

const withMore = ({ bytes, key, vkey }: TransferStory, more: More): Uint8Array =>
  relog(bytes, { key, vkey, change: () => undefined, more });

function issueOf(controls: readonly Payload[], { answer }: TestInstance): Payload {
  const found = controls.find(({ kind, subject }) => kind === "issue" && subject === answer.spiffe_id);
  if (found === undefined) throw new Error("an instance that was never issued");
  return found;
}

const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();

/** A revocation just after what is signed now. */
const ending = (issue: Payload, { subject }: { readonly subject: string }): Payload => {
  return { ...issue, kind: "revoke", subject, details: {}, time: inSeconds(1) };
};

/** The child's key under a grant of now. */
function reissue(
  { before, child }: TransferStory,
  options: {
    readonly scope?: readonly string[];
    readonly later?: number;
    readonly first?: (issue: Payload) => readonly Payload[];
  },
): More {
  const { scope = child.answer.scope, later = 0, first = () => [] } = options;
  return (controls) => {
    const issue = issueOf(controls, child);
    const enrolment = grantOf(before, child.signer, { name: child.answer.name, scope });
    const claim = { nonce: "A".repeat(43), enrolmentSha256: digestOfEnrolment(enrolment) };
    const { possession } = proofOf(child.signer, claim);
    const details = { ...Object(issue.details), enrolment, possession, scope };
    const again = { ...issue, details, epoch: Number(issue.epoch) + later, time: inSeconds(2) };
    return [...first(issue), again];
  };
}

/** A registered entry, as far as a verifier reads it then. */
function entryBy({ giver, child }: TransferStory, signer: TestInstance["signer"]): More {
  const jti = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const document = { jti, owner: giver.ownerId };
  const entry = issueEnvelope("entry", document, signer, formatOwnerKeyid(signer.publicKey));
  const details = { change: "create", entry_kind: "agent", entry };
  return (controls) => [
    { ...issueOf(controls, child), kind: "entry", subject: `ent_${jti}`, details, time: inSeconds(0) },
  ];
}

/** The log with another document behind one instance, and a true proof of its key for that. */
function withEnrolment(
  { bytes, key, vkey }: TransferStory,
  { answer, signer }: TestInstance,
  enrolment: string,
): Uint8Array {
  return relog(bytes, {
    key,
    vkey,
    change: (_, { kind, subject, details }) => {
      if (kind !== "issue" || subject !== answer.spiffe_id) return;
      const claim = { nonce: "A".repeat(43), enrolmentSha256: digestOfEnrolment(enrolment) };
      Object.assign(Object(details), { enrolment, possession: proofOf(signer, claim).possession });
    },
  });
}
