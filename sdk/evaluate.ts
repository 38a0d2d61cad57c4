/**
 * Questions of a service about its visitor: may this agent do that as well?
 *
 * For what a route cannot say, such as the tool that a message names, or which of them to list. The answer is an
 * `evaluation` in the ledger and never a decision: the visit that it belongs to has its own.
 *
 * @see Authorization API 1.0 §7; docs/path.md, "Decisions that others enforce"
 */
import type { Agent } from "node:https";
import { parseActionName, partsOf } from "@trustwarden/core/action.ts";
import { evaluationsAnswer } from "@trustwarden/core/api/authzen.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { encodeBody, type TrustServer } from "./trust-server.ts";

/** Each of them leaves an event; the server takes no more at once. */
const MAX_QUESTIONS = 100;

/** One thing that the visitor may or may not do. */
export interface Question {
  readonly action: string;
  /** A URI. */
  readonly resource: string;
  /** Arguments, for policies that look at them. */
  readonly params?: JsonObject;
}

/** The engine's answer. */
export interface Evaluation {
  readonly allow: boolean;
  /** `evt_…` in the ledger; empty for a question about nobody or nothing. */
  readonly eventId: string;
  readonly reasons: readonly string[];
}

/**
 * Asks about one agent; a hundred questions at a time.
 *
 * @throws TrustWardenError `action_malformed`, the server's refusal, `server_unreachable`.
 */
export async function askAbout(
  asker: { readonly server: TrustServer; readonly agent: Agent },
  spiffeId: string,
  questions: readonly Question[],
): Promise<readonly Evaluation[]> {
  const answers: Evaluation[] = [];
  for (let from = 0; from < questions.length; from += MAX_QUESTIONS)
    answers.push(...(await askSome(asker, spiffeId, questions.slice(from, from + MAX_QUESTIONS))));
  return answers;
}

async function askSome(
  { server, agent }: { readonly server: TrustServer; readonly agent: Agent },
  spiffeId: string,
  questions: readonly Question[],
): Promise<readonly Evaluation[]> {
  const body = encodeBody({
    subject: { type: "spiffe", id: spiffeId },
    evaluations: questions.map(({ action, resource, params }) => ({
      action: { name: action, ...(params && { properties: params }) },
      resource: { type: partsOf(parseActionName(action)).type, id: resource },
    })),
  });
  const call = { agent, method: "POST", target: "/access/v1/evaluations", body } as const;
  const answer = await server.call({ ...call, schema: evaluationsAnswer });
  const evaluations = "evaluations" in answer ? answer.evaluations : [answer];
  // Fewer answers than questions would put one answer beside another's question.
  if (evaluations.length !== questions.length)
    throw new TrustWardenError("server_untrusted", { reason: "evaluations" });
  return evaluations.map(({ decision, context }) => ({
    allow: decision,
    eventId: context?.id ?? "",
    reasons: context?.reasons ?? [],
  }));
}
