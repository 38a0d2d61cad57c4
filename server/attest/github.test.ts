import { formatSelectors, requireStrongSelectors } from "@trustwarden/core/agentid/selector.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAttestors } from "./attestors.ts";
import { attestationSettings } from "./config.ts";
import { AUDIENCE, CONTEXT, NOW, startIssuer, type TestIssuer, TestKey } from "./issuer.test.support.ts";

const REFUSED = expect.objectContaining({ code: "attestation_refused" });
const key = new TestKey("github-1");
let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await startIssuer([key]);
});
afterAll(() => issuer.close());

/** A job's claims, as GitHub documents them. */
const claims = (changed: object = {}) => ({
  jti: "example-id",
  sub: "repo:acme/agents:environment:production",
  environment: "production",
  aud: AUDIENCE,
  ref: "refs/heads/main",
  ref_type: "branch",
  ref_protected: "true",
  sha: "8f3c2b1a0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a",
  repository: "acme/agents",
  repository_id: "740000001",
  repository_owner: "acme",
  repository_owner_id: "6500001",
  repository_visibility: "private",
  actor: "octocat",
  actor_id: "120001",
  run_id: "9990001",
  run_number: "10",
  run_attempt: "2",
  runner_environment: "github-hosted",
  head_ref: "",
  base_ref: "",
  event_name: "workflow_dispatch",
  workflow: "deploy",
  workflow_ref: "acme/agents/.github/workflows/deploy.yml@refs/heads/main",
  job_workflow_ref: "acme/shared/.github/workflows/deploy.yml@refs/tags/v1",
  iss: issuer.url,
  iat: NOW - 10,
  nbf: NOW - 600,
  exp: NOW + 290,
  ...changed,
});
const attestors = (changed: object = {}) =>
  createAttestors(
    attestationSettings.parse({
      github: {
        issuer: issuer.url,
        keys: { discovery: { url: `${issuer.url}/.well-known/openid-configuration`, allowPrivate: true } },
        ...changed,
      },
    }),
  );
const attest = (changed: object = {}, config: object = {}) =>
  attestors(config).attest({ type: "github", token: key.token(claims(changed)) }, CONTEXT);

describe("a GitHub Actions token", () => {
  it("proves the repository and its owner by number, and the run", async () => {
    const attested = await attest();
    expect(formatSelectors(attested.selectors)).toEqual([
      "github:actor_id:120001",
      "github:environment:production",
      "github:event_name:workflow_dispatch",
      "github:job_workflow_ref:acme/shared/.github/workflows/deploy.yml@refs/tags/v1",
      "github:ref:refs/heads/main",
      "github:ref_protected:true",
      "github:repository:acme/agents",
      "github:repository_id:740000001",
      "github:repository_owner_id:6500001",
      "github:run_attempt:2",
      "github:run_id:9990001",
      "github:runner_environment:github-hosted",
      "github:sha:8f3c2b1a0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a",
      "github:workflow_ref:acme/agents/.github/workflows/deploy.yml@refs/heads/main",
    ]);
    expect(attested.subject).toBe("github:740000001:9990001:2");
    expect(() => requireStrongSelectors(attested.selectors)).not.toThrow();
  });

  it("has nothing that a pull request's author writes among its selectors", async () => {
    const attested = await attest({ base_ref: "main", workflow: "any words", actor: "evil" });
    const texts = formatSelectors(attested.selectors).join("\n");
    for (const word of ["any words", "evil", "base_ref", "head_ref"]) expect(texts).not.toContain(word);
  });

  it("is refused when people without write access can have caused it, unless that is allowed", async () => {
    const outside = [
      { event_name: "pull_request", ref: "refs/pull/7/merge", head_ref: "patch", base_ref: "main" },
      { event_name: "pull_request_target", head_ref: "patch", base_ref: "main" },
      { event_name: "issue_comment" },
      { event_name: "workflow_run" },
      { event_name: "push", ref: "refs/pull/7/head" },
      { event_name: "something_new", head_ref: "patch" },
    ];
    for (const changed of outside) {
      await expect(attest(changed), changed.event_name).rejects.toEqual(REFUSED);
      await expect(attest(changed, { allowPullRequests: true }), changed.event_name).resolves.toBeDefined();
    }
    for (const event_name of ["push", "schedule", "release"]) {
      await expect(attest({ event_name })).resolves.toBeDefined();
    }
  });

  it("is refused without ids, or with names and numbers in their place", async () => {
    for (const name of ["repository_id", "repository_owner_id", "run_id", "actor_id"]) {
      for (const value of [undefined, "", 740000001, "acme/agents", "0", "07", "1e3", "-1", "1 "]) {
        await expect(attest({ [name]: value }), `${name} ${value}`).rejects.toEqual(REFUSED);
      }
    }
    for (const name of ["repository", "ref", "event_name"]) {
      await expect(attest({ [name]: undefined }), name).rejects.toEqual(REFUSED);
    }
  });

  it("is refused of another issuer, or for another audience; and is meant to serve once", async () => {
    await expect(attest({ iss: "https://token.actions.githubusercontent.com" })).rejects.toMatchObject({
      code: "attestation_untrusted_issuer",
    });
    await expect(attest({ aud: "https://github.com/acme" })).rejects.toEqual(REFUSED);
    expect((await attest()).singleUse).toMatchObject({ expiresAt: NOW + 290 });
  });

  it("is by default of GitHub's own issuer", () => {
    const { github } = attestationSettings.parse({ github: {} });
    expect(github).toMatchObject({
      issuer: "https://token.actions.githubusercontent.com",
      keys: {
        discovery: { url: "https://token.actions.githubusercontent.com/.well-known/openid-configuration" },
      },
      allowPullRequests: false,
      singleUse: true,
    });
  });
});
