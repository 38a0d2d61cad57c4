/**
 * What a person signs by a passkey: the digest of a document or a request, which this page made from what it shows.
 *
 * The server is never asked what to sign.
 */

import {
  type ConfirmationDetail,
  type ConfirmationView,
  confirmationView,
} from "@trustwarden/core/api/confirmations.ts";
import { type SessionAnswer, sessionAnswer } from "@trustwarden/core/api/people.ts";
import { challengeOfConfirmation, digestOfRequest } from "@trustwarden/core/confirmation.ts";
import { type AssertionResponse, completeByPasskey, type EnvelopeDraft } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { challengeOf } from "@trustwarden/core/passkey.ts";
import type { z } from "zod";
import { encodeBase64url, encodeUtf8 } from "../verify/bytes.ts";
import { ApiError, type Asking, callApi, perform } from "./client.ts";

const TIMEOUT_MS = 300_000;

/**
 * The document's envelope, signed by one of the person's passkeys.
 *
 * @param draftOf - the document; only the name of the key is known later than what is signed.
 * @throws DOMException when the person declines.
 */
export async function signByPasskey(
  { passkeys }: SessionAnswer,
  draftOf: (keyid: string) => EnvelopeDraft,
): Promise<string> {
  const credential = await askPasskey({ challenge: challengeOf(draftOf("").pae), passkeys });
  const used = passkeys.find(({ credential_id: id }) => id === credential.id);
  if (used === undefined) throw new Error("the browser used a passkey that is not of this session");
  return completeByPasskey(draftOf(used.keyid), responseOf(credential));
}

/**
 * An assertion of one of these passkeys.
 *
 * @param challenge - base64url.
 * @throws DOMException when the person declines.
 */
export async function askPasskey({
  challenge,
  passkeys,
}: {
  readonly challenge: string;
  readonly passkeys: readonly Pick<SessionAnswer["passkeys"][number], "credential_id">[];
}): Promise<PublicKeyCredential> {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON({
    challenge,
    timeout: TIMEOUT_MS,
    rpId: window.location.hostname,
    userVerification: "required",
    allowCredentials: passkeys.map(({ credential_id: id }) => ({ type: "public-key", id })),
  });
  const credential = await navigator.credentials.get({ publicKey });
  if (!(credential instanceof PublicKeyCredential)) throw new Error("the browser gave no passkey");
  return credential;
}

/**
 * A call that carries an assertion. A 401 to it is about the passkey as long as the session is there, and no logout.
 *
 * @throws ApiError `passkey_invalid` when the assertion was not taken, and the server's own.
 */
export async function callSigned<Schema extends z.ZodType>(
  call: Asking & { readonly answer: Schema },
): Promise<z.output<Schema>> {
  try {
    return await perform(call);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    await callApi({ path: "/v1/session", answer: sessionAnswer });
    const message = "What the passkey signed was not taken. You are still signed in.";
    throw new ApiError({ code: "passkey_invalid", status: error.status, message });
  }
}

/** A second admin's yes to exactly the request that is shown. @throws ApiError, DOMException, TrustWardenError `confirmation_invalid`. */
export async function confirmByPasskey(
  { passkeys }: SessionAnswer,
  { id, asked_by: askedBy, ...asked }: ConfirmationDetail,
): Promise<ConfirmationView> {
  const digest = digestOfRequest({ ...asked, body: encodeUtf8(asked.body) });
  // Whatever digest the server shows, the signature is over what the page shows.
  if (digest !== asked.digest) throw new TrustWardenError("confirmation_invalid");
  const challenge = challengeOfConfirmation({ id, askedBy, digest });
  const credential = (await askPasskey({ challenge, passkeys })).toJSON();
  const path = `/v1/confirmations/${id}/answer` as const;
  return callSigned({ path, body: { answer: "confirm", credential }, answer: confirmationView });
}

function responseOf({ response }: PublicKeyCredential): AssertionResponse {
  if (!(response instanceof AuthenticatorAssertionResponse)) throw new Error("the browser gave no assertion");
  const { authenticatorData, clientDataJSON, signature } = response;
  return {
    authenticatorData: textOf(authenticatorData),
    clientDataJSON: textOf(clientDataJSON),
    signature: textOf(signature),
  };
}

function textOf(buffer: ArrayBuffer): string {
  return encodeBase64url(new Uint8Array(buffer));
}
