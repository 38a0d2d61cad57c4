/**
 * What a second admin confirms: exactly one request, by its digest, and a challenge that follows from it.
 *
 * The challenge is no random text of the server: it is a digest of the confirmation's id, of who asked and of the
 * request, so that the ledger alone shows what was signed. Its freshness is that of the id, which is random and answered once.
 */
import { encodeBase64url, encodeUtf8 } from "./bytes.ts";
import { sha256 } from "./crypto.ts";

/** Header that names the confirmation of a request. */
export const CONFIRMATION_HEADER = "trustwarden-confirmation";

const REQUEST = "trustwarden-confirmed-request-v2";
/** Of requests that were asked about before there was a salt. */
const UNSALTED_REQUEST = "trustwarden-confirmed-request-v1";
const CHALLENGE = "trustwarden-confirmation-v1";

/** A request as it is sent. */
export interface ConfirmedRequest {
  readonly method: string;
  /** Path and query, exactly as sent. */
  readonly target: string;
  /** Exact bytes; empty without a body. */
  readonly body: Uint8Array;
  /**
   * base64url of random bytes that the ledger never has: a digest alone lets nobody try out which address somebody was invited
   * by. Empty for what was asked before there was one.
   */
  readonly salt: string;
}

/** base64url SHA-256 of a request. Nothing in a method or target can be a line break, so that no two requests are one text. */
export function digestOfRequest({ method, target, body, salt }: ConfirmedRequest): string {
  const request = [method, target, encodeBase64url(sha256(body))];
  return digest(salt === "" ? [UNSALTED_REQUEST, ...request] : [REQUEST, ...request, salt]);
}

/** What one admin asked, as a second one confirms it. */
export interface AskedConfirmation {
  /** `cnf_<ulid>` */
  readonly id: string;
  /** The principal that asked, as records show it. */
  readonly askedBy: string;
  /** Of the request. */
  readonly digest: string;
}

/** base64url of the challenge that the second admin's passkey signs. */
export function challengeOfConfirmation(asked: AskedConfirmation): string {
  return encodeBase64url(sha256(encodeConfirmation(asked)));
}

/** The bytes whose digest is that challenge. */
export function encodeConfirmation({ id, askedBy, digest: asked }: AskedConfirmation): Uint8Array {
  return encodeUtf8([CHALLENGE, id, askedBy, asked].join("\n"));
}

function digest(lines: readonly string[]): string {
  return encodeBase64url(sha256(encodeUtf8(lines.join("\n"))));
}
