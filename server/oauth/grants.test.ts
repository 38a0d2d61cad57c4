/** Which grants a configuration lets count, and where their issuers' keys may be. */
import { issueIdentityGrant } from "@trustwarden/core/identity-grant.ts";
import { describe, expect, it } from "vitest";
import { expectCode, expectRejection } from "../../test/support/expect-code.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { createOpenFetch } from "../attest/token-source.ts";
import { AcceptedGrants } from "./accepted-grants.ts";
import { type GrantIssuerConfig, grantSettings } from "./config.ts";
import { GivenGrants } from "./given-grants.ts";

const NOW = 1_800_000_000;
const IDP = "https://idp.example";
const US = "https://acme.test/oauth";

const issuerOf = (url: string, issuer = IDP): GrantIssuerConfig =>
  grantSettings.grantIssuers.parse([{ issuer, keys: { jwks: { url } }, owners: { alice: "alice" } }])[0] ??
  expect.unreachable();
const grantOf = (issuer: string) =>
  issueIdentityGrant(
    {
      issuer,
      subject: "alice",
      audience: US,
      clientId: "spiffe://acme.test/a/inst-1",
      resource: "https://api.test",
      scope: ["read:items"],
      jti: "grant-1",
      issuedAt: NOW,
      expiresAt: NOW + 300,
      confirmation: { kind: "jkt", digest: "A".repeat(43) },
    },
    { kid: "1", signer: createTestSigner() },
  );
const verify = (grants: AcceptedGrants, assertion: string) =>
  grants.verify({
    assertion,
    audience: US,
    clientIds: ["spiffe://acme.test/a/inst-1"],
    resource: "https://api.test",
    bound: null,
    now: NOW,
  });

describe("grants that count", () => {
  it("have keys at public addresses, whatever the name of their place leads to", async () => {
    for (const address of ["169.254.169.254", "127.0.0.1", "10.1.2.3"]) {
      const openFetch = createOpenFetch("test", async () => [address]);
      const grants = new AcceptedGrants([issuerOf("https://keys.example/jwks")], openFetch);
      await expectRejection(verify(grants, grantOf(IDP)), "assertion_issuer_unavailable");
    }
  });

  it("are of no issuer that the configuration does not name, and never our own, though it were named", async () => {
    const openFetch = createOpenFetch("test", async () => expect.unreachable("nobody is asked"));
    const grants = new AcceptedGrants([issuerOf("https://keys.example/jwks", US)], openFetch);
    await expectRejection(verify(grants, grantOf(IDP)), "assertion_refused");
    await expectRejection(verify(grants, grantOf(US)), "assertion_refused");
    expect(new AcceptedGrants([], openFetch).isServed).toBe(false);
  });

  it("have one entry for each issuer", () => {
    const config = issuerOf("https://keys.example/jwks");
    expectCode(() => new AcceptedGrants([config, config], createOpenFetch("test")), "config_invalid");
  });
});

describe("grants that are given", () => {
  const audience = {
    issuer: "https://chat.test",
    resources: ["https://api.test"],
    scopes: { read: ["read:chat"] },
  };

  it("have one entry for each server, and words that stand for a scope of ours", () => {
    expectCode(() => new GivenGrants([audience, audience]), "config_invalid");
    expectCode(() => new GivenGrants([{ ...audience, scopes: { read: ["anything"] } }]), "scope_malformed");
    const grants = new GivenGrants([audience]);
    const asked = { audience: "https://chat.test", resource: "https://api.test", scope: "read read" };
    expect(grants.plan(asked)).toMatchObject({ words: ["read"], clientId: null });
    expectCode(() => grants.plan({ ...asked, scope: "toString" }), "scope_malformed");
    expectCode(() => grants.plan({ ...asked, scope: "" }), "scope_malformed");
    expectCode(() => grants.plan({ ...asked, audience: undefined }), "target_malformed");
  });
});
