/** Certificates that were handed out by a server in trouble, held against its ledger. */
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { ticketOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { expectSame } from "../scenario.ts";
import { openEvidence } from "./evidence.ts";
import { enrolWith } from "./visits.ts";
import type { World } from "./world.ts";

/** Enrols agents at a server that may die. @returns digests of the certificates that are in somebody's hands. */
export async function enrolUntilDead(world: World, count: number): Promise<readonly string[]> {
  const owner = await world.owner();
  const one = async (): Promise<readonly string[]> => {
    const ticket = ticketOf(owner, { name: world.name("unlucky") });
    // A connection that breaks left nothing in anybody's hands.
    const answer = await enrolWith(world, ticket, { signer: createTestSigner() }).catch(() => undefined);
    if (answer?.status !== 200) return [];
    const [leaf = ""] = identityAnswer.parse(JSON.parse(answer.text)).svid_chain;
    return [encodeBase64url(sha256(parseBase64url(leaf)))];
  };
  return (await Promise.all(Array.from({ length: count }, one))).flat();
}

/** What the ledger says was issued. */
async function issuedIn(world: World): Promise<ReadonlySet<unknown>> {
  const ledger = openEvidence(world.server.adminSocket, 0);
  const issued = await ledger.matching({ kind: "issue" });
  const payloads = await Promise.all(issued.map(({ event_id }) => ledger.payloads(event_id)));
  return new Set(
    payloads.flat().map(({ details }) => new Map(Object.entries(details ?? {})).get("svid_sha256")),
  );
}

/** Starts a server again and finds everything that it answered in its ledger. @throws Breach */
export async function expectAllRecorded(
  restarted: World,
  certificates: readonly string[],
  when: string,
): Promise<void> {
  await restarted.start();
  await expectIssued(restarted, certificates, when);
  await restarted.child.stop();
}

/** Finds in the ledger of a server that runs what was handed out. @throws Breach */
export async function expectIssued(
  world: World,
  certificates: readonly string[],
  when: string,
): Promise<void> {
  const issued = await issuedIn(world);
  const missing = certificates.filter((digest) => !issued.has(digest));
  expectSame(missing, [], `certificates without an entry, ${when}`);
}
