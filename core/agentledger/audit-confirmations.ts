/**
 * What one admin asked and a second one confirmed: each word by a passkey of the one whose word it is, over exactly that
 * request, given once.
 *
 * A server can write any event; that another human than the asker wanted something is that human's own signature. Whether
 * it was an admin then is the server's word.
 *
 * @see docs/decisions/0087-confirmations-verify-offline.md
 */
import { parseBase64url } from "../bytes.ts";
import { encodeConfirmation } from "../confirmation.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord } from "../event.ts";
import type { JsonObject } from "../json.ts";
import { readDeviceSignature, requireAsserted } from "../passkey.ts";
import { KnownPasskeys } from "./audit-passkeys.ts";

/** A request that waits. */
interface Asked {
  readonly askedBy: string;
  readonly digest: string;
  /** `prs_…`; null until somebody has. */
  confirmedBy: string | null;
}

/** Owns the passkeys of people and what they confirmed, in one log; lives for one audit. */
export class ConfirmationAuditor {
  /** Of people. */
  readonly #passkeys = new KnownPasskeys();
  /** Those that were not used. */
  readonly #asked = new Map<string, Asked>();
  /** Those that were used or refused: an id is asked about once, or its one signature would serve again. */
  readonly #ended = new Set<string>();

  /**
   * Takes an allowed event of an owner or person, and checks one of a confirmation; call in the order of the log.
   *
   * @throws TrustWardenError `record_malformed`, `signature_invalid`, `passkey_invalid`, or what parsing is refused with.
   */
  add(control: ControlRecord): void {
    const { kind, allow, subject, details } = control;
    if (!allow || subject === null) return;
    if (kind === "owner" && typeof details.person === "string")
      this.#passkeys.follow(details.person, details);
    else if (kind === "person") this.#passkeys.follow(subject, details);
    else if (kind === "confirmation") this.#confirmation(subject, control);
  }

  #confirmation(id: string, control: ControlRecord): void {
    const { change } = control.details;
    if (change === "ask") this.#ask(id, control);
    else if (change === "confirm") this.#confirm(id, control);
    else if (change === "use") this.#use(id, control);
    else if (change === "refuse") this.#refuse(id, control);
    else throw invalid("an unknown change of a confirmation");
  }

  #ask(id: string, { principal, details }: ControlRecord): void {
    const { asked_by: askedBy, digest } = details;
    if (askedBy !== principal || typeof digest !== "string") throw invalid("asked in another's name");
    if (this.#asked.has(id) || this.#ended.has(id)) throw invalid("a confirmation that was asked for twice");
    this.#asked.set(id, { askedBy: principal, digest, confirmedBy: null });
  }

  #confirm(id: string, { principal, details }: ControlRecord): void {
    const asked = this.#requireAsked(id, details);
    const { askedBy, digest } = asked;
    const person = textOf(details.answered_by);
    if (principal !== `person:${person}` || principal === askedBy || asked.confirmedBy !== null)
      throw invalid("a confirmation by who could not give it");
    const passkey = this.#passkeys.findByCredential(person, textOf(details.credential_id));
    if (passkey === undefined) throw invalid("a confirmation by a passkey that was not that person's");
    requireAsserted(passkey, encodeConfirmation({ id, askedBy, digest }), {
      assertion: {
        authenticatorData: parseBase64url(textOf(details.authenticator_data)),
        clientDataJson: parseBase64url(textOf(details.client_data_json)),
      },
      signature: readDeviceSignature(parseBase64url(textOf(details.signature))),
    });
    asked.confirmedBy = person;
  }

  #use(id: string, { principal, details }: ControlRecord): void {
    const { askedBy, confirmedBy } = this.#requireAsked(id, details);
    const isConfirmed = confirmedBy !== null && details.answered_by === confirmedBy;
    if (!isConfirmed || principal !== askedBy) throw invalid("used without the word of a second one");
    this.#end(id);
  }

  #refuse(id: string, { details }: ControlRecord): void {
    this.#requireAsked(id, details);
    this.#end(id);
  }

  #end(id: string): void {
    this.#asked.delete(id);
    this.#ended.add(id);
  }

  /** What is said of a request is said of the one that was asked about. */
  #requireAsked(id: string, details: JsonObject): Asked {
    const asked = this.#asked.get(id);
    if (asked === undefined) throw invalid("a confirmation that nobody asked for, or that was used");
    const isSame = details.asked_by === asked.askedBy && details.digest === asked.digest;
    if (!isSame) throw invalid("a confirmation of another request");
    return asked;
  }
}

function textOf(value: unknown): string {
  if (typeof value !== "string") throw invalid("a member is missing");
  return value;
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("record_malformed", { reason });
}
