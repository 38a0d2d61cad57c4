/** Documents that a person signs by a passkey, as the console makes them. */
import { draftTicket, type Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import { type AssertionResponse, completeByPasskey, type EnvelopeDraft } from "@trustwarden/core/dsse.ts";
import { challengeOf } from "@trustwarden/core/passkey.ts";
import { ticketDocument } from "./actors.ts";
import type { SoftwareAuthenticator } from "./authenticator.ts";
import { jsonOf, type RawAnswer } from "./http.ts";
import { sendConsole, type TestPerson } from "./people.ts";
import type { TestServer } from "./server.ts";

/** The person who signs, and with which device unless it is its own. */
export interface Signing {
  readonly person: TestPerson;
  readonly authenticator?: SoftwareAuthenticator;
  /** What the device is asked for, unless it is the document's own. */
  readonly challenge?: string;
}

/** `keyid` of the first passkey of a person, as its session says it. */
export async function keyidOf(server: TestServer, { cookie }: TestPerson): Promise<string> {
  const { passkeys } = jsonOf(await sendConsole(server, { target: "/v1/session" }, cookie));
  const [first]: unknown[] = Array.isArray(passkeys) ? passkeys : [];
  if (typeof first !== "object" || first === null || !("keyid" in first)) throw new Error("no passkey");
  return String(first.keyid);
}

/** What a device answers to a challenge. */
function assertionOf(authenticator: SoftwareAuthenticator, challenge: string): AssertionResponse {
  const { response } = authenticator.get(challenge);
  const { authenticatorData, clientDataJSON, signature } = Object(response);
  return { authenticatorData, clientDataJSON, signature };
}

/** A draft, signed by a passkey. */
export function signByPasskey(draft: EnvelopeDraft, { person, authenticator, challenge }: Signing): string {
  const device = authenticator ?? person.authenticator;
  return completeByPasskey(draft, assertionOf(device, challenge ?? challengeOf(draft.pae)));
}

/** A ticket that a person signed by its passkey, not yet taken in. */
export async function signTicket(
  server: TestServer,
  signing: Signing,
  changes: Partial<Ticket> = {},
): Promise<string> {
  const keyid = await keyidOf(server, signing.person);
  return signByPasskey(draftTicket(ticketDocument(signing.person.ownerId ?? "", changes), keyid), signing);
}

/** Takes a ticket in, in the name of a person. */
export function depositTicket(server: TestServer, person: TestPerson, ticket: string): Promise<RawAnswer> {
  const body = JSON.stringify({ ticket });
  return sendConsole(server, { method: "POST", target: "/v1/tickets", body }, person.cookie);
}
