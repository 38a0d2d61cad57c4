/**
 * Passkeys: what the browser is asked for, and what it says. The rules are the server's; here options become calls of the
 * Web Authentication API and its answers become JSON.
 *
 * @see W3C WebAuthn Level 3 §5.1
 */
import {
  endedAnswer,
  passkeyOptions,
  type SessionAnswer,
  sessionAnswer,
} from "@trustwarden/core/api/people.ts";
import { callApi } from "./client.ts";

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
  return callApi({ path: "/v1/session", body: { credential: jsonOf(credential) }, answer: sessionAnswer });
}

/** Comes in by a one-time link, with a new passkey. @throws ApiError, DOMException when the person declines. */
export async function comeIn(person: {
  readonly link: string;
  readonly name: string;
}): Promise<SessionAnswer> {
  const { rp, user, pubKeyCredParams, ...options } = await callApi({
    path: "/v1/passkeys/options/register",
    answer: passkeyOptions,
  });
  if (rp === undefined || user === undefined) throw new Error("the server gave no options to register with");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON({
    challenge: options.challenge,
    timeout: options.timeout,
    rp,
    user: { ...user, name: person.name, displayName: person.name },
    pubKeyCredParams: pubKeyCredParams ?? [],
    attestation: "none",
    ...(options.authenticatorSelection === undefined
      ? {}
      : { authenticatorSelection: options.authenticatorSelection }),
  });
  const credential = await navigator.credentials.create({ publicKey });
  return callApi({
    path: "/v1/people",
    body: { ...person, credential: jsonOf(credential) },
    answer: sessionAnswer,
  });
}

/** Ends the session. @throws ApiError. */
export async function signOut(): Promise<void> {
  await callApi({ path: "/v1/session/end", body: {}, answer: endedAnswer });
}

/** The members that the server reads; a browser may say more of a credential. */
function jsonOf(credential: Credential | null): unknown {
  if (!(credential instanceof PublicKeyCredential)) throw new Error("the browser gave no passkey");
  return credential.toJSON();
}
