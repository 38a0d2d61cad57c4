/** Agents that go from one owner to another, as the two owners sign and send it. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { draftTransfer, issueTransfer, type Transfer } from "@trustwarden/core/transfer.ts";
import {
  AUDIENCE,
  nowSeconds,
  ownerRequest,
  serverIdOf,
  type TestInstance,
  type TestOwner,
} from "./actors.ts";
import { type RawAnswer, send } from "./http.ts";
import { keyidOf, type Signing, signByPasskey } from "./passkey-documents.ts";
import { sendConsole, type TestPerson } from "./people.ts";
import type { TestServer } from "./server.ts";

/** What two owners sign about an agent, unless it is to say something else. */
export function transferDocument(
  agent: TestInstance,
  { from, to }: { readonly from: string; readonly to: string },
  changes: Partial<Transfer> = {},
): Transfer {
  const now = nowSeconds();
  return {
    v: 1,
    jti: formatUlid(Date.now(), (length) => new Uint8Array(randomBytes(length))),
    aud: AUDIENCE,
    iat: now,
    exp: now + 600,
    agent: agent.answer.agent_id ?? "",
    from,
    to,
    ...changes,
  };
}

/** Signed by the key of an owner's file. */
export function signTransfer(transfer: Transfer, { signer }: Pick<TestOwner, "signer">): string {
  return issueTransfer(transfer, signer, formatOwnerKeyid(signer.publicKey));
}

/** Signed by a person's passkey. */
export async function signTransferByPasskey(
  server: TestServer,
  transfer: Transfer,
  signing: Signing,
): Promise<string> {
  return signByPasskey(draftTransfer(transfer, await keyidOf(server, signing.person)), signing);
}

/** Sends what an owner's key signs to be sent. */
export async function postAsOwner(
  server: TestServer,
  owner: TestOwner,
  { target, body }: { readonly target: string; readonly body: object },
): Promise<RawAnswer> {
  const aud = await serverIdOf(server);
  return send(server.url, ownerRequest(owner, { method: "POST", target, body: JSON.stringify(body), aud }));
}

/** The same, of a person in front of the console. */
export function postAsPerson(
  server: TestServer,
  person: TestPerson,
  { target, body }: { readonly target: string; readonly body: object },
): Promise<RawAnswer> {
  return sendConsole(server, { method: "POST", target, body: JSON.stringify(body) }, person.cookie);
}

/** The body of an offer. */
export const offering = (transfer: string) => ({ target: "/v1/transfers", body: { transfer } });

/** The body of an acceptance. */
export const accepting = (offer: string, acceptance: string) => ({
  target: "/v1/transfers/acceptance",
  body: { offer, acceptance },
});

/** What is signed from now on is later than whatever has happened, by the clock of whole seconds. */
export async function nextSecond(): Promise<void> {
  await sleep(1000 - (Date.now() % 1000) + 20);
}
