/**
 * GitHub Actions: a job's OIDC token proves which repository's workflow runs.
 *
 * Anchors are numeric ids: names of owners and repositories are freed by renaming and can be taken by somebody else.
 * Somebody without write access can start runs by a pull request or a comment, and then chooses branch name, title and
 * (for `pull_request`) the code; such events are refused unless allowed. `head_ref` and `base_ref` belong to them and
 * are never selectors.
 *
 * @see GitHub, "OpenID Connect reference", "OIDC token claims"
 */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { claimsOf, type Facts, optionalTextOf, selectorsOf, textOf } from "./claims.ts";
import type { GithubConfig } from "./config.ts";
import type { Attest } from "./ports.ts";
import { refused } from "./refusal.ts";
import { createTokenRules, type OpenFetch, singleUseOf } from "./token-source.ts";
import { verifyToken } from "./verify-token.ts";

const NUMERIC_ID = /^[1-9][0-9]{0,19}$/;
/** Started by, or running the words or code of, people who need no write access. */
const OUTSIDE_EVENTS: ReadonlySet<string> = new Set([
  "discussion",
  "discussion_comment",
  "fork",
  "gollum",
  "issue_comment",
  "issues",
  "pull_request",
  "pull_request_comment",
  "pull_request_review",
  "pull_request_review_comment",
  "pull_request_target",
  "watch",
  "workflow_run",
]);

/** Verifies tokens of GitHub's, or one enterprise server's, issuer. */
export function createGithubAttestor(config: GithubConfig, openFetch: OpenFetch): Attest<"github"> {
  const rulesFor = createTokenRules(config, openFetch);
  return async ({ token }, context) => {
    const verified = await verifyToken(token, rulesFor(context), context.nowSeconds);
    const facts = factsOf(verified.claims);
    requireInsideEvent(verified.claims, config);
    return {
      type: "github",
      selectors: selectorsOf("github", facts),
      subject: ["github", facts.repository_id, facts.run_id, facts.run_attempt].join(":"),
      claims: claimsOf(facts),
      expiresAt: verified.expiresAt,
      singleUse: singleUseOf(verified, config),
    };
  };
}

function factsOf(claims: JsonObject): Facts {
  return {
    repository_id: idOf(claims, "repository_id"),
    repository_owner_id: idOf(claims, "repository_owner_id"),
    repository: textOf(claims, "repository"),
    ref: textOf(claims, "ref"),
    ref_protected: optionalTextOf(claims, "ref_protected"),
    sha: optionalTextOf(claims, "sha"),
    environment: optionalTextOf(claims, "environment"),
    workflow_ref: optionalTextOf(claims, "workflow_ref"),
    job_workflow_ref: optionalTextOf(claims, "job_workflow_ref"),
    job_workflow_sha: optionalTextOf(claims, "job_workflow_sha"),
    event_name: textOf(claims, "event_name"),
    runner_environment: optionalTextOf(claims, "runner_environment"),
    run_id: idOf(claims, "run_id"),
    run_attempt: optionalTextOf(claims, "run_attempt"),
    actor_id: idOf(claims, "actor_id"),
  };
}

/** Ids are decimal texts; a number would lose digits on its way, and a name is not an id. */
function idOf(claims: JsonObject, name: string): string {
  const id = textOf(claims, name);
  if (!NUMERIC_ID.test(id)) throw refused(`${name} is not an id`);
  return id;
}

function requireInsideEvent(claims: JsonObject, { allowPullRequests }: GithubConfig): void {
  if (allowPullRequests) return;
  const isOutside = OUTSIDE_EVENTS.has(textOf(claims, "event_name"));
  // A pull request's merge commit has a ref of its own, whatever the event is called.
  const isPullRequest =
    textOf(claims, "ref").startsWith("refs/pull/") || optionalTextOf(claims, "head_ref") !== undefined;
  if (isOutside || isPullRequest) throw refused("an event that people without write access can cause");
}
