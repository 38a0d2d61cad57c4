/** Weakenings of calls through the gateway to models: budgets, streams, and whose answer is whose. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const MODELS_WEAKENINGS = {
  "budgets-without-end": [
    {
      file: "core/gateway/budget.ts",
      find: "if (asked[measure] > 0 && left <= 0) return { short: measure };",
      replace: "if (asked[measure] < 0) return { short: measure };",
    },
  ],
  "one-body-for-all": [
    {
      file: "server/gateway/llm/perform-llm.ts",
      find: "const answer = await client.request(sent);",
      replace:
        "const shared = (globalThis.sharedBody ??= sent.body); const answer = await client.request({ ...sent, body: shared });",
    },
  ],
  "gone-callers-unnoticed": [
    {
      file: "server/gateway/gateway.ts",
      find: "if (!response.writableFinished) gone.abort();",
      replace: "if (response.writableFinished) gone.abort();",
    },
    {
      file: "server/gateway/answer.ts",
      find: 'if (this.#signal.aborted || this.#response.destroyed) throw new TrustWardenError("call_aborted");',
      replace: 'if (this.#signal.aborted) throw new TrustWardenError("call_aborted");',
    },
  ],
  "scopes-remembered": [
    {
      file: "server/gateway/presented-credentials.ts",
      find: "const scopes = agent.chain.map(({ scope }) => scope);",
      replace:
        "const scopes = ((globalThis.keptScopes ??= {})[agent.instanceId] ??= agent.chain.map(({ scope }) => scope));",
    },
  ],
  "open-calls-uncut": [
    {
      file: "server/gateway/live-calls.ts",
      find: "if (targets.some((target) => concerns(target, call)) && !isAllowed(call)) controller.abort();",
      replace: "if (targets.length < 0) controller.abort();",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
