/** Evidence of an agent that went from one owner, a file's key, to another, a person with a passkey; and logs that lie about it. */

import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { issueTransfer, parseUnverifiedTransfer, type Transfer } from "@trustwarden/core/transfer.ts";
import {
  createOwner,
  enrolAgent,
  enrolWith,
  serverIdOf,
  signedRequest,
  spawn,
  type TestInstance,
  type TestOwner,
} from "./actors.ts";
import { openKeys } from "./authority-keys.ts";
import { readTrust } from "./evidence.ts";
import { type Forgery, type ManifestKey, manifestKeyOf } from "./evidence-forgeries.ts";
import { type Payload, relog } from "./evidence-presented.ts";
import { type RawAnswer, send, sendAdmin } from "./http.ts";
import { depositTicket, signTicket } from "./passkey-documents.ts";
import { CONSOLE, createPerson, type TestPerson } from "./people.ts";
import { startTestServer, type TestServer } from "./server.ts";
import {
  accepting,
  nextSecond,
  offering,
  postAsOwner,
  postAsPerson,
  signTransfer,
  signTransferByPasskey,
  transferDocument,
} from "./transfers.ts";

/** A bundle, what an auditor trusts, and who signed. */
export interface TransferStory {
  readonly bytes: Buffer;
  readonly vkey: string;
  readonly bundleText: string;
  readonly key: ManifestKey;
  readonly giver: TestOwner;
  readonly receiver: TestPerson;
  readonly agentId: string;
  /** The agent as it worked for its giver, and one that it made. */
  readonly before: TestInstance;
  readonly child: TestInstance;
  /** The same document to somebody else, signed by the receiver. */
  readonly elsewhere: string;
  /** Documents that both signed, and that let no agent of this log go: for another trust domain, and not yet. */
  readonly misplaced: Readonly<
    Record<"abroad" | "early", { readonly offer: string; readonly acceptance: string }>
  >;
  readonly close: () => Promise<void>;
}

/** An agent with a child works for its giver, is handed over, and works for its receiver. */
export async function createTransferStory(): Promise<TransferStory> {
  const server = await startTestServer(CONSOLE);
  const giver = await createOwner(server, "giver");
  const receiver = await createPerson(server, { roles: ["owner"] });
  const before = await enrolAgent(server, giver, { name: "keeper" });
  const child = await spawn(server, before, { name: "helper" });
  await read(server, child);
  await read(server, before);
  const to = receiver.ownerId ?? "";
  const transfer = transferDocument(before, { from: giver.ownerId, to });
  const offer = signTransfer(transfer, giver);
  requireDone(await postAsOwner(server, giver, offering(offer)));
  const acceptance = await signTransferByPasskey(server, transfer, { person: receiver });
  requireDone(await postAsPerson(server, receiver, accepting(offer, acceptance)));
  await nextSecond();
  const ticket = await signTicket(server, { person: receiver }, { name: "keeper" });
  requireDone(await depositTicket(server, receiver, ticket));
  await read(server, await enrolWith(server, ticket));
  const agentId = before.answer.agent_id ?? "";
  const { bytes } = await sendAdmin(server.adminSocket, { target: `/v1/evidence?agent=${agentId}` });
  const { serverSigner } = await openKeys(server.home);
  const other = await createOwner(server, "other");
  const signedByBoth = async (changes: Partial<Transfer>) => {
    const changed = { ...transfer, ...changes };
    const acceptance = await signTransferByPasskey(server, changed, { person: receiver });
    return { offer: signTransfer(changed, giver), acceptance };
  };
  const { iat, exp } = transfer;
  return {
    bytes,
    ...(await readTrust(server)),
    key: manifestKeyOf(bytes, serverSigner),
    giver,
    receiver,
    agentId,
    before,
    child,
    elsewhere: await signTransferByPasskey(
      server,
      { ...transfer, exp: transfer.exp - 1, from: other.ownerId },
      { person: receiver },
    ),
    misplaced: {
      abroad: await signedByBoth({ aud: "spiffe://elsewhere.test" }),
      early: await signedByBoth({ iat: iat + 300, exp: exp + 300 }),
    },
    close: async () => {
      await server.close();
      server.home.remove();
    },
  };
}

async function read(server: TestServer, agent: TestInstance): Promise<void> {
  const request = { target: "/v1/events", action: "read:ledger", aud: await serverIdOf(server) };
  requireDone(await send(server.url, signedRequest(agent, request), agent.tls));
}

function requireDone({ status, text }: RawAnswer): void {
  if (status !== 200) throw new Error(`${status} ${text}`);
}

/** The same log, written again as the forgeries are. */
export function rewrittenTransfer({ bytes, key, vkey }: TransferStory): Uint8Array {
  return relog(bytes, { key, vkey, change: () => undefined });
}

/** Logs that lie about whose the agent is; each is signed by the server and proven in a tree of its own. */
export function transferForgeries(story: TransferStory): readonly Forgery[] {
  const { bytes, key, vkey, giver, elsewhere, misplaced } = story;
  const forge = (name: string, change: (payload: Payload, details: Payload) => void): Forgery => ({
    name,
    bytes: relog(bytes, {
      key,
      vkey,
      change: (_, payload) => {
        if (payload.kind === "transfer") change(payload, Object(payload.details));
      },
    }),
  });
  const ofAcceptance = (name: string, change: (payload: Payload, details: Payload) => void): Forgery =>
    forge(name, (payload, details) => {
      if (details.change === "accept") change(payload, details);
    });
  let accepted: unknown;
  ofAcceptance("none", (_, { acceptance }) => {
    accepted = acceptance;
  });
  const byGiver = (text: unknown): string => {
    const { signer } = giver;
    return issueTransfer(parseUnverifiedTransfer(String(text)), signer, formatOwnerKeyid(signer.publicKey));
  };
  return [
    ofAcceptance("the giver's word alone", (_, details) => {
      details.acceptance = byGiver(details.acceptance);
    }),
    ofAcceptance("the receiver's word alone", (_, details) => {
      details.offer = details.acceptance;
    }),
    ofAcceptance("another document of the receiver's", (_, details) => {
      details.acceptance = elsewhere;
    }),
    ofAcceptance("to somebody else, as the event says", (_, details) => {
      details.owner = giver.ownerId;
    }),
    ofAcceptance("another agent's", (payload) => {
      payload.subject = `${String(payload.subject).slice(0, -1)}0`;
    }),
    ofAcceptance("that was only offered", (_, details) => {
      details.change = "offer";
    }),
    ofAcceptance("that is told as something else", (payload) => {
      payload.kind = "alarm";
    }),
    ofAcceptance("of another kind", (_, details) => {
      details.change = "take";
    }),
    ofAcceptance("after its end", (payload) => {
      payload.time = new Date(Date.parse(String(payload.time)) + 900_000).toISOString();
    }),
    ofAcceptance("for another trust domain", (_, details) => {
      Object.assign(details, misplaced.abroad);
    }),
    ofAcceptance("before it is signed", (_, details) => {
      Object.assign(details, misplaced.early);
    }),
    forge("used twice", (_, details) => {
      if (details.change === "offer") Object.assign(details, { change: "accept", acceptance: accepted });
    }),
  ];
}
