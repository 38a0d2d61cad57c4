/** Evidence of what a human authorized by a passkey: the ticket of an agent, and one call that had to wait for an answer. */
import { randomUUID } from "node:crypto";
import { digestOfEnrolment, formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { approvalView, questionOf } from "@trustwarden/core/api/approval.ts";
import { draftApproval } from "@trustwarden/core/approval.ts";
import { encodeBase64, encodeBase64url, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import {
  draftEnvelope,
  issueEnvelope,
  parseEnvelope,
  parseUnverifiedPayload,
} from "@trustwarden/core/dsse.ts";
import type { Intent } from "@trustwarden/core/event.ts";
import { formatCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { AUDIENCE, enrolWith, nowSeconds, serverIdOf, signedRequest, type TestInstance } from "./actors.ts";
import { SoftwareAuthenticator } from "./authenticator.ts";
import { openKeys } from "./authority-keys.ts";
import { openEchoUpstream } from "./echo-upstream.ts";
import { readTrust } from "./evidence.ts";
import { type Forgery, type ManifestKey, manifestKeyOf } from "./evidence-forgeries.ts";
import { type Payload, relog } from "./evidence-presented.ts";
import { jsonOf, type RawAnswer, send, sendAdmin } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import { depositTicket, keyidOf, type Signing, signByPasskey, signTicket } from "./passkey-documents.ts";
import { CONSOLE, createPerson, sendConsole, type TestPerson } from "./people.ts";
import { startTestServer, type TestServer } from "./server.ts";

const ROUTES = [{ method: "DELETE", path: "/rows/{id}", action: "delete:rows", resource: "db://rows/{id}" }];
const ANSWER_SECONDS = 600;
const PLACE = "/rows/rows/1";

/** A bundle, what an auditor trusts, and who signed. */
export interface PasskeyStory {
  readonly bytes: Buffer;
  readonly vkey: string;
  readonly bundleText: string;
  readonly key: ManifestKey;
  readonly person: TestPerson;
  readonly agent: TestInstance;
  readonly close: () => Promise<void>;
}

/** A person lets an agent be and one call of it, each by its passkey. */
export async function createPasskeyStory(): Promise<PasskeyStory> {
  const server = await startTestServer({ gateway: { port: 0 }, ...CONSOLE });
  const upstream = await openEchoUpstream();
  await registerRows(server, upstream.origin);
  const person = await createPerson(server, { roles: ["owner"] });
  const ticket = await signTicket(server, { person }, { scope: parseScope(["delete:rows"]) });
  await depositTicket(server, person, ticket);
  const agent = await enrolWith(server, ticket);
  const asked = await callRows(server, agent, { seq: 1, prev: null });
  const id = String(asked.answer.headers["trustwarden-approval-request"]);
  const answer = await answerByPasskey(server, id, { person });
  if (answer.status !== 200) throw new Error(answer.text);
  const done = await callRows(
    server,
    agent,
    { seq: 2, prev: asked.payloadSha256 },
    { "trustwarden-approval": id },
  );
  if (done.answer.status >= 400) throw new Error(done.answer.text);
  const { bytes } = await sendAdmin(server.adminSocket, {
    target: `/v1/evidence?agent=${agent.answer.agent_id}`,
  });
  const { serverSigner } = await openKeys(server.home);
  return {
    bytes,
    ...(await readTrust(server)),
    key: manifestKeyOf(bytes, serverSigner),
    person,
    agent,
    close: async () => {
      await server.close();
      upstream.close();
      server.home.remove();
    },
  };
}

/** An upstream whose rows nobody deletes without a human. */
export async function registerRows(server: TestServer, url: string): Promise<void> {
  const place = { name: "rows", kind: "http", url, allow_private: true, settings: { routes: ROUTES } };
  const body = JSON.stringify(place);
  await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/upstreams", body });
}

/** One call through the gateway that has to wait for a human; the digest is what the agent's next intent names. */
export async function callRows(
  server: TestServer,
  agent: TestInstance,
  order: Pick<Intent, "seq" | "prev">,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly answer: RawAnswer; readonly payloadSha256: string }> {
  const intent = { action: "delete:rows", resource: "db://rows/1", ...order };
  const aud = await serverIdOf(server);
  const request = signedRequest(agent, {
    method: "DELETE",
    target: PLACE,
    aud,
    action: intent.action,
    intent,
  });
  const sent = { ...request, headers: { ...request.headers, ...headers } };
  const answer = await send(server.gatewayUrl ?? "", sent, agent.tls);
  const envelope = parseUtf8(parseBase64url(String(sent.headers["trustwarden-intent"])));
  return { answer, payloadSha256: encodeBase64url(sha256(parseEnvelope(envelope).payload)) };
}

/** Answers a request for approval with yes, as the console does. */
export async function answerByPasskey(server: TestServer, id: string, signing: Signing): Promise<RawAnswer> {
  const { person } = signing;
  const target = `/v1/approvals/${id}`;
  const view = approvalView.parse(jsonOf(await sendConsole(server, { target }, person.cookie)));
  const iat = nowSeconds();
  const said = { v: 1, aud: AUDIENCE, answer: "approve", iat, exp: iat + ANSWER_SECONDS } as const;
  const draft = draftApproval({ ...said, ...questionOf(view) }, await keyidOf(server, person));
  const body = JSON.stringify({ approval: signByPasskey(draft, signing) });
  return sendConsole(server, { method: "POST", target: `${target}/answer`, body }, person.cookie);
}

/** The same log, written again as the forgeries are: their reason is not that they were written again. */
export function rewritten({ bytes, key, vkey, agent }: PasskeyStory): Uint8Array {
  const same: Change = (envelope) => formatCanonicalJson(envelope);
  const ofApproval = approvalForger(same);
  const change = (kind: string, payload: Payload): void => {
    const details = Object(payload.details);
    if (payload.kind === "issue" && details.via === "ticket") bindAgain(details, agent, same);
    ofApproval(kind, payload);
  };
  return relog(bytes, { key, vkey, change });
}

/** Another envelope in the place of one. */
type Change = (envelope: JsonObject, type: "ticket" | "approval") => string;

const payloadOf = (envelope: JsonObject): JsonObject =>
  JSON.parse(Buffer.from(String(envelope.payload), "base64").toString());

/** The agent lies too: it proves the possession of its key for the forged ticket. */
function bindAgain(
  details: JsonObject & { enrolment?: unknown; possession?: unknown },
  agent: TestInstance,
  change: Change,
): void {
  const enrolment = change(JSON.parse(String(details.enrolment)), "ticket");
  const envelope = parseEnvelope(String(details.possession));
  const proof = { ...parseUnverifiedPayload(envelope), enrolment_sha256: digestOfEnrolment(enrolment) };
  const possession = issueEnvelope("possession", proof, agent.signer, envelope.unverifiedKeyid);
  Object.assign(details, { enrolment, possession });
}

/** Whatever names the answer names the forged one. */
function approvalForger(change: Change): (kind: string, payload: Payload) => void {
  let digest = "";
  return (kind, payload) => {
    const details = Object(payload.details);
    if (kind === "decision" && payload.approval !== null) Object(payload.approval).envelope_sha256 = digest;
    if (payload.kind !== "approval") return;
    if (details.change === "use") details.envelope_sha256 = digest;
    if (details.change !== "approve") return;
    details.approval = change(JSON.parse(details.approval), "approval");
    digest = digestOfEnrolment(details.approval);
  };
}

/** Logs that lie about what the human signed; each is signed by the server and proven in a tree of its own. */
export function passkeyForgeries({ bytes, key, vkey, person, agent }: PasskeyStory): readonly Forgery[] {
  const forge = (name: string, change: (kind: string, payload: Payload) => void): Forgery => ({
    name,
    bytes: relog(bytes, { key, vkey, change }),
  });
  const ofEnvelope = (name: string, change: Change): readonly Forgery[] => [
    forge(`${name}, of the ticket`, (_, { kind, details }) => {
      if (kind === "issue" && Object(details).via === "ticket") bindAgain(Object(details), agent, change);
    }),
    forge(`${name}, of the approval`, approvalForger(change)),
  ];
  const by = (device: SoftwareAuthenticator) => signedBy(person, device);
  const otherwise = (options: object) =>
    by(person.authenticator.behaving({ origin: "http://localhost:1", ...options }));
  return [
    ...ofEnvelope("an assertion of another document", (envelope) => {
      const payload = payloadOf(envelope);
      const other = formatCanonicalJson({ ...payload, iat: Number(payload.iat) - 1 });
      return formatCanonicalJson({ ...envelope, payload: Buffer.from(other).toString("base64") });
    }),
    ...ofEnvelope("a user whom nobody verified", otherwise({ isUserVerified: false })),
    ...ofEnvelope("a frame of another page", otherwise({ isCrossOrigin: true })),
    ...ofEnvelope("another origin", otherwise({ origin: "https://elsewhere.test" })),
    ...ofEnvelope(
      "another relying party",
      otherwise({ origin: "https://elsewhere.test", rpId: "elsewhere.test" }),
    ),
    ...ofEnvelope("somebody else's passkey", by(new SoftwareAuthenticator({ origin: "http://localhost:1" }))),
    ...ofEnvelope("no assertion", (envelope) => {
      const [{ keyid, sig }] = Object(envelope.signatures);
      return formatCanonicalJson({ ...envelope, signatures: [{ keyid, sig }] });
    }),
    ...answers(person).map(({ name, change }) => forge(name, change)),
    ...planted(agent).map(({ name, change }) => forge(name, change)),
    forge("a passkey that is said to be a file's", (_, payload) => {
      if (payload.kind === "owner") delete Object(payload.details).credential_id;
    }),
    forge("a passkey that was bound to another host", (_, payload) => {
      if (payload.kind === "owner") Object(payload.details).rp_id = "elsewhere.test";
    }),
  ];
}

/** Another device's word, in the place of a human's. */
const signedBy =
  (person: TestPerson, device: SoftwareAuthenticator): Change =>
  (envelope, type) => {
    const [{ keyid }] = Object(envelope.signatures);
    return signByPasskey(draftEnvelope(type, payloadOf(envelope), keyid), { person, authenticator: device });
  };

/** What the human signed is something else, or was used for something else. */
function answers(person: TestPerson) {
  /** The human's own signature, over another answer. */
  const saying = (changes: JsonObject) => {
    const sign = signedBy(person, person.authenticator.behaving({ origin: "http://localhost:1" }));
    const change: Change = (envelope, type) => {
      const payload = formatCanonicalJson({ ...payloadOf(envelope), ...changes });
      return sign({ ...envelope, payload: Buffer.from(payload).toString("base64") }, type);
    };
    return approvalForger(change);
  };
  const ofUse = (change: (payload: Payload, details: Payload) => void) => {
    const same = approvalForger((envelope) => formatCanonicalJson(envelope));
    return (kind: string, payload: Payload) => {
      same(kind, payload);
      const details = Object(payload.details);
      if (payload.kind === "approval" && details.change === "use") change(payload, details);
    };
  };
  return [
    { name: "an answer in another trust domain", change: saying({ aud: "spiffe://elsewhere.test" }) },
    { name: "an answer under another policy", change: saying({ policy_sha256: "A".repeat(43) }) },
    { name: "an answer with a word more", change: saying({ also: true }) },
    { name: "a no", change: saying({ answer: "deny" }) },
    {
      name: "an answer that was used for something else",
      change: ofUse((_, details) => Object.assign(details, { used_by: randomUUID() })),
    },
    {
      name: "an answer that was never used",
      change: ofUse((_, details) => Object.assign(details, { change: "request" })),
    },
    {
      name: "an answer that was used after its end",
      change: ofUse((payload) => {
        payload.time = new Date(Date.parse(String(payload.time)) + 900_000).toISOString();
      }),
    },
  ];
}

/** A key of the server's own, planted under the name of the person, whose answer it then signs as a file's key does. */
function planted({ answer }: TestInstance) {
  const signer = createTestSigner();
  const spki = encodeBase64(encodeSpki(signer.publicKey));
  const owner = String(answer.chain[0]).replace("owner:", "");
  const ofApproval = approvalForger((envelope) =>
    issueEnvelope("approval", payloadOf(envelope), signer, formatOwnerKeyid(signer.publicKey)),
  );
  const plant = (made: JsonObject) => (kind: string, payload: Payload) => {
    if (payload.kind === "approval" && Object(payload.details).change === "request")
      Object.assign(payload, { subject: owner, ...made });
    else ofApproval(kind, payload);
  };
  const details = { owner, spki, change: "register" };
  return [
    { name: "an owner who is registered twice", change: plant({ kind: "owner", details }) },
    { name: "a file's key that a person came with", change: plant({ kind: "person", details }) },
  ];
}
