/**
 * Checks what agents presented instead of intents: that the holder of the token's key asked, once, and that the token
 * was issued to this very agent, for that key, as the ledger itself says.
 *
 * The message signature is not checked here: its base holds the token and the query, and is kept as a digest. That one
 * was there is demanded where the class of the action asks for one.
 */
import type { ControlRecord, DecisionRecord } from "../event.ts";
import { isJsonObject, type Json } from "../json.ts";
import { type PresentedIntent, requirePossession } from "../presented-intent.ts";

/** An issued token, as its event says. */
interface Token {
  /** Whether it is a WIT-SVID, and no access token: each has proofs of its own. */
  readonly isWit: boolean;
  readonly clientId: Json | undefined;
  readonly jkt: Json | undefined;
  readonly expiresAt: Json | undefined;
}

/** Owns the tokens and the proofs seen; lives for one audit. */
export class PresentedAuditor {
  readonly #tokens = new Map<string, Token>();
  readonly #revokedAt = new Map<string, number>();
  readonly #proofs = new Set<string>();

  /** Learns from the events of tokens. */
  learn(control: ControlRecord): void {
    const { kind, allow, details, time } = control;
    if (!allow || typeof details.jti !== "string") return;
    if (kind === "wit") this.#tokens.set(details.jti, witOf(control));
    if (kind !== "token") return;
    if (details.change === "revoke") this.#revokedAt.set(details.jti, Date.parse(time) / 1000);
    const { client_id: clientId, cnf, expires_at: expiresAt } = details;
    if (details.change !== "issue" || !isJsonObject(cnf)) return;
    this.#tokens.set(details.jti, { isWit: false, clientId, jkt: cnf.jkt, expiresAt });
  }

  /**
   * What is wrong with a presented intent, in words; null when nothing is.
   *
   * @throws TrustWardenError `dpop_invalid` or `wpt_invalid` when the proof itself does not hold.
   */
  findFault(intent: PresentedIntent): string | null {
    const proof = requirePossession(intent);
    if (this.#proofs.has(proof)) return "its proof was used before";
    this.#proofs.add(proof);
    const token = this.#tokens.get(intent.token.jti);
    const at = Date.parse(intent.time) / 1000;
    if (token === undefined) return "its token was never issued";
    if (token.isWit !== (intent.wit_key !== undefined)) return "its proof is for another kind of token";
    if (token.clientId !== intent.agent.spiffe_id) return "its token was issued to another";
    if (token.jkt !== intent.token.jkt) return "its token is bound to another key";
    if (typeof token.expiresAt !== "number" || at >= token.expiresAt) return "its token had expired";
    const revokedAt = this.#revokedAt.get(intent.token.jti);
    return revokedAt !== undefined && at > revokedAt + 1 ? "its token was revoked" : null;
  }

  /** Whether a decision allowed what nobody had signed the body of; a call with a WIT-SVID is signed whatever it does. */
  isUnsigned(intent: PresentedIntent, decision: DecisionRecord): boolean {
    const isSignedAlways = intent.wit_key !== undefined;
    return decision.allow && (isSignedAlways || decision.class !== "C") && intent.signature === null;
  }
}

/** A WIT-SVID, as the event of its issuance says. */
function witOf({ subject, details }: ControlRecord): Token {
  const { confirmation_thumbprint: jkt, expires_at: expiresAt } = details;
  return { isWit: true, clientId: subject ?? undefined, jkt, expiresAt };
}
