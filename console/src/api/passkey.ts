/**
 * Passkeys: what the browser is asked for, and what it says. The rules are the server's; here options become calls of the
 * Web Authentication API and its answers become JSON.
 *
 * @see W3C WebAuthn Level 3 §5.1
 */
import { type SignedOut, signedOut } from "@trustwarden/core/api/identity-providers.ts";
import { passkeyOptions, type SessionAnswer, sessionAnswer } from "@trustwarden/core/api/people.ts";
import { callApi, perform } from "./client.ts";
import { askPasskey, callSigned } from "./sign.ts";

/** Opens a session with a passkey that this browser has. @throws ApiError, DOMException when the person declines. */
export async function signIn(): Promise<SessionAnswer> {
  const options = await callApi({ path: "/v1/passkeys/options/log-in", answer: passkeyOptions });
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON({
    challenge: options.challenge,
    timeout: options.timeout,
    ...(options.rpId === undefined ? {} : { rpId: options.rpId }),
    ...(options.userVerification === undefined ? {} : { userVerification: options.userVerification }),
  });
  const credential = await navigator.credentials.get({ publicKey });
  return perform({ path: "/v1/session", body: { credential: jsonOf(credential) }, answer: sessionAnswer });
}

/** Comes in by a one-time link, with a new passkey. @throws ApiError, DOMException when the person declines. */
export async function comeIn(person: {
  readonly link: string;
  readonly name: string;
}): Promise<SessionAnswer> {
  const credential = await makePasskey({ name: person.name, passkeys: [] });
  return perform({ path: "/v1/people", body: { ...person, credential }, answer: sessionAnswer });
}

/** The word of a passkey that is there, for what a session alone does not allow. It counts for five minutes. @throws ApiError, DOMException. */
export async function giveWord(
  purpose: "add-passkey" | "remove-passkey" | `add-identity:${string}`,
  passkeys: SessionAnswer["passkeys"],
): Promise<unknown> {
  const { challenge } = await callApi({ path: `/v1/passkeys/options/${purpose}`, answer: passkeyOptions });
  return (await askPasskey({ challenge, passkeys })).toJSON();
}

/** A further passkey, on a device that has none of this person's. @param word - of one that is there. @throws ApiError, DOMException. */
export async function addPasskey({ name, passkeys }: SessionAnswer, word: unknown): Promise<SessionAnswer> {
  const credential = await makePasskey({ name, passkeys });
  const body = { credential, assertion: word };
  return callSigned({ path: "/v1/session/passkeys", body, answer: sessionAnswer });
}

/** The first passkey of who has just come through an identity provider. @throws ApiError, DOMException. */
export async function makeFirstPasskey({ name }: SessionAnswer): Promise<SessionAnswer> {
  const credential = await makePasskey({ name, passkeys: [] });
  return perform({ path: "/v1/session/passkeys/first", body: { credential }, answer: sessionAnswer });
}

/** Takes a passkey away, by the word of another. Every other session ends. @throws ApiError, DOMException. */
export async function removePasskey({ passkeys }: SessionAnswer, id: string): Promise<SessionAnswer> {
  const staying = passkeys.filter(({ credential_id: other }) => other !== id);
  const assertion = await giveWord("remove-passkey", staying);
  const body = { credential_id: id, assertion };
  return callSigned({ path: "/v1/session/passkeys/removal", body, answer: sessionAnswer });
}

async function makePasskey({
  name,
  passkeys,
}: {
  readonly name: string;
  readonly passkeys: SessionAnswer["passkeys"];
}): Promise<unknown> {
  const { rp, user, pubKeyCredParams, ...options } = await callApi({
    path: "/v1/passkeys/options/register",
    answer: passkeyOptions,
  });
  if (rp === undefined || user === undefined) throw new Error("the server gave no options to register with");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON({
    challenge: options.challenge,
    timeout: options.timeout,
    rp,
    user: { ...user, name, displayName: name },
    pubKeyCredParams: pubKeyCredParams ?? [],
    excludeCredentials: passkeys.map(({ credential_id: id }) => ({ type: "public-key", id })),
    attestation: "none",
    ...(options.authenticatorSelection === undefined
      ? {}
      : { authenticatorSelection: options.authenticatorSelection }),
  });
  return jsonOf(await navigator.credentials.create({ publicKey }));
}

/** Ends the session. @throws ApiError. */
export function signOut(): Promise<SignedOut> {
  return callApi({ path: "/v1/session/end", body: {}, answer: signedOut });
}

/** The members that the server reads; a browser may say more of a credential. */
function jsonOf(credential: Credential | null): unknown {
  if (!(credential instanceof PublicKeyCredential)) throw new Error("the browser gave no passkey");
  return credential.toJSON();
}
