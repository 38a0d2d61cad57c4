/** Logs in which an agent goes by another name, or in another trust domain, than whoever let it be had signed. */
import { digestOfEnrolment, formatOwnerKeyid, issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { grantOf, proofOf, type TestInstance, ticketDocument } from "./actors.ts";
import type { Forgery } from "./evidence-forgeries.ts";
import { relog } from "./evidence-presented.ts";
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
