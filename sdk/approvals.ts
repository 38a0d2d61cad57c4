/**
 * Calls that wait for a human: what the policy asked about, what exactly it was, and the wait for the owner's answer.
 *
 * The service and the ledger only hold commitments, so whoever asks the owner has to say what they are to: the agent
 * opens them, and the server checks that it opens its own. Nothing is repeated by itself; who was told yes calls again,
 * naming the approval, and that call is a new intent which has to do exactly the same.
 */
import { type ApprovalView, approvalView, MAX_SHOWN_BODY_CHARS } from "@trustwarden/core/api/approval.ts";
import type { Parameters } from "@trustwarden/core/approval.ts";
import { encodeBase64url, encodeUtf8, isEqualBytes } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { effectOf } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { AgentSession, SignedAction } from "./agent-session.ts";
import type { VerifiedReceipt } from "./receipt.ts";
import { encodeBody } from "./trust-server.ts";

/** Header of the approval that a call names. */
export const APPROVAL_HEADER = "trustwarden-approval";
/** As many as may wait on the server. */
const MAX_OPEN = 16;
/** As long as a request waits by itself. */
const DEFAULT_WAIT_MS = 900_000;
/** One long poll; the server holds it no longer. */
const POLL_SECONDS = 20;
/** A poll's answer comes at the end of it. */
const POLL_TIMEOUT_MS = (POLL_SECONDS + 10) * 1000;

/** The header of a call that names an approval; empty for one that names none. */
export function approvalHeader({
  approval,
}: {
  readonly approval?: string | undefined;
}): Readonly<Record<string, string>> {
  return approval === undefined ? {} : { [APPROVAL_HEADER]: approval };
}

/** How long to wait for a human. */
export interface WaitForApprovalOptions {
  /** At most 15 minutes; without an answer by then the call is denied. */
  readonly timeoutMs?: number;
}

/** One action that the policy asked about, with what opens its commitment. */
interface OpenQuestion {
  readonly decisionIndex: number;
  readonly parameters: Parameters;
  readonly salt: string;
  readonly body: string | null;
  isAsked: boolean;
}

/** Owns what this instance may still ask its owner about. */
export class OpenQuestions {
  /** By event id, oldest first. */
  readonly #questions = new Map<string, OpenQuestion>();

  /** Keeps a question when a proven decision is one. @throws TrustWardenError `approval_required`. */
  requireAnswered(signed: SignedAction, { decision, receipt }: VerifiedReceipt): void {
    if (decision.allow || decision.reasons.length === 0 || effectOf(decision.reasons) !== "ask") return;
    const request = signed.intent.intent.event_id;
    // The gateway has put its own calls before the owner.
    if (decision.enforcement !== "gateway")
      this.#questions.set(request, questionOf(signed, receipt.decision_index));
    const [oldest] = this.#questions.keys();
    if (this.#questions.size > MAX_OPEN && oldest !== undefined) this.#questions.delete(oldest);
    throw new TrustWardenError("approval_required", { request, reasons: decision.reasons });
  }

  /**
   * Asks the owner and waits for the answer.
   *
   * @param id - `details.request` of the `approval_required`.
   * @throws TrustWardenError `approval_denied`, `approval_expired`, `approval_used`, `approval_unknown` for a question of
   *   nobody here, and the server's refusals.
   */
  async wait(session: AgentSession, id: string, options: WaitForApprovalOptions = {}): Promise<string> {
    const { timeoutMs = DEFAULT_WAIT_MS } = options;
    const { runtime } = session;
    const endsAtMs = runtime.monotonicMs() + timeoutMs;
    let view = await this.#ask(session, id, Math.min(900, Math.max(1, Math.ceil(timeoutMs / 1000))));
    while (view.status === "pending") {
      const leftMs = endsAtMs - runtime.monotonicMs();
      if (leftMs <= 0) throw new TrustWardenError("approval_expired", { id });
      view = await look(session, id, Math.min(POLL_SECONDS, Math.ceil(leftMs / 1000)));
    }
    switch (view.status) {
      case "approved":
        return id;
      case "denied":
        throw new TrustWardenError("approval_denied", { id });
      case "used":
        throw new TrustWardenError("approval_used", { id });
      case "expired":
        throw new TrustWardenError("approval_expired", { id });
    }
  }

  async #ask(session: AgentSession, id: string, expiresIn: number): Promise<ApprovalView> {
    const question = this.#questions.get(id);
    // Asked by the gateway, or before this process knew: it is at the server or nowhere.
    if (question === undefined || question.isAsked) return look(session, id, 0);
    question.isAsked = true;
    const { decisionIndex, parameters, salt, body } = question;
    return session.call({
      action: "create:approval",
      method: "POST",
      target: "/v1/approvals",
      body: encodeBody({
        event_id: id,
        decision_index: decisionIndex,
        parameters: { ...parameters },
        salt,
        body,
        expires_in: expiresIn,
      }),
      schema: approvalView,
    });
  }
}

function look(session: AgentSession, id: string, waitSeconds: number): Promise<ApprovalView> {
  return session.call({
    action: "read:approvals",
    method: "GET",
    target: `/v1/approvals/${id}?wait=${waitSeconds}`,
    schema: approvalView,
    timeoutMs: POLL_TIMEOUT_MS,
  });
}

function questionOf({ asked, requestSalt, paramsSalt }: SignedAction, decisionIndex: number): OpenQuestion {
  const { request, params } = asked;
  if (request === null) {
    const parameters = { kind: "params", params } as const;
    return { decisionIndex, parameters, salt: paramsSalt ?? "", body: null, isAsked: false };
  }
  const { method, target, body } = request;
  const parameters = { kind: "request", method, target, body_sha256: encodeBase64url(sha256(body)) } as const;
  return { decisionIndex, parameters, salt: requestSalt ?? "", body: readableText(body), isAsked: false };
}

/** The body for a human to read, or null where it is no text or too long. */
function readableText(body: Uint8Array): string | null {
  if (body.length === 0 || body.length > MAX_SHOWN_BODY_CHARS) return null;
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
  return isEqualBytes(encodeUtf8(text), body) ? text : null;
}
