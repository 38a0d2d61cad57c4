import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { describe, expect, it } from "vitest";
import { createAttestors } from "./attestors.ts";
import { attestationSettings } from "./config.ts";
import { AUDIENCE, CONTEXT, NOW, TestKey } from "./issuer.test.support.ts";

const REFUSED = expect.objectContaining({ code: "attestation_refused" });
const key = new TestKey("google-1");
const MACHINE = {
  instance_creation_timestamp: NOW - 86_400,
  instance_id: "4570452845155348778",
  instance_name: "agent-1",
  project_id: "acme-agents",
  project_number: 107128418443,
  zone: "europe-west1-b",
};
const claims = (changed: object = {}, machine: object = {}) => ({
  aud: AUDIENCE,
  azp: "112179062720391305885",
  email: "agent@acme-agents.iam.gserviceaccount.com",
  email_verified: true,
  exp: NOW + 3590,
  google: { compute_engine: { ...MACHINE, ...machine } },
  iat: NOW - 10,
  iss: "https://accounts.google.com",
  sub: "112179062720391305885",
  ...changed,
});
const attest = (changed: object = {}, machine: object = {}) =>
  createAttestors(attestationSettings.parse({ gcp: { keys: { inline: [key.jwk] } } })).attest(
    { type: "gcp", token: key.token(claims(changed, machine)) },
    CONTEXT,
  );

describe("a GCE instance identity token", () => {
  it("proves project, zone, instance and service account", async () => {
    const attested = await attest();
    expect(formatSelectors(attested.selectors)).toEqual([
      "gcp:instance_id:4570452845155348778",
      "gcp:instance_name:agent-1",
      "gcp:project_id:acme-agents",
      "gcp:project_number:107128418443",
      "gcp:service_account:agent@acme-agents.iam.gserviceaccount.com",
      "gcp:service_account_id:112179062720391305885",
      "gcp:zone:europe-west1-b",
    ]);
    expect(attested).toMatchObject({
      subject: "gcp:107128418443:4570452845155348778",
      expiresAt: NOW + 3590,
    });
  });

  it("says nothing of an address that Google has not verified", async () => {
    for (const email_verified of [false, undefined, "true", 1]) {
      const texts = formatSelectors((await attest({ email_verified })).selectors);
      expect(texts.filter((text) => text.startsWith("gcp:service_account:"))).toEqual([]);
    }
  });

  it("is refused in the standard format, which can be made off the machine", async () => {
    for (const google of [undefined, {}, { compute_engine: null }, "x"]) {
      await expect(attest({ google }), JSON.stringify(google)).rejects.toEqual(REFUSED);
    }
  });

  it("is refused with a member missing or of another type", async () => {
    for (const machine of [
      { project_id: undefined },
      { project_number: "107128418443" },
      { project_number: 1.5 },
      { project_number: 2 ** 53 },
      { instance_id: 4570452845155348 },
      { instance_id: "agent-1" },
      { zone: ["a"] },
      { instance_name: "" },
    ]) {
      await expect(attest({}, machine), JSON.stringify(machine)).rejects.toEqual(REFUSED);
    }
    await expect(attest({ sub: "agent@acme-agents.iam.gserviceaccount.com" })).rejects.toEqual(REFUSED);
  });

  it("is of Google's issuer and for us", async () => {
    await expect(attest({ iss: "accounts.google.com" })).rejects.toMatchObject({
      code: "attestation_untrusted_issuer",
    });
    await expect(attest({ aud: "https://other.test" })).rejects.toEqual(REFUSED);
  });

  it("is by default verified with the keys that Google publishes", () => {
    expect(attestationSettings.parse({ gcp: {} }).gcp?.keys).toEqual({
      jwks: { url: "https://www.googleapis.com/oauth2/v3/certs", allowPrivate: false },
    });
  });
});
