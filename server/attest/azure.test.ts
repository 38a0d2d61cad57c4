import { formatAzureNonce } from "@trustwarden/core/agentid/attestation-nonce.ts";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { describe, expect, it } from "vitest";
import { createAttestors } from "./attestors.ts";
import { attestationSettings } from "./config.ts";
import { CONTEXT, NOW, TestKey } from "./issuer.test.support.ts";
import { createCertificate, type SigningOptions, signDocument } from "./signed-documents.test.support.ts";

const REFUSED = expect.objectContaining({ code: "attestation_refused" });
const MALFORMED = expect.objectContaining({ code: "attestation_malformed" });
const EXPIRED = expect.objectContaining({ code: "attestation_expired" });
const UNTRUSTED = expect.objectContaining({ code: "attestation_untrusted_issuer" });

const TENANT = "72f988bf-0000-4000-8000-000000000001";
const SUBSCRIPTION = "5a1c0000-0000-4000-8000-000000000002";
const PRINCIPAL = "9d3f0000-0000-4000-8000-000000000003";
const RESOURCE = `/subscriptions/${SUBSCRIPTION}/resourcegroups/agents/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agent`;
const AUDIENCE = "api://trustwarden";

describe("a managed identity's token", () => {
  const key = new TestKey("entra-1");
  const claims = (changed: object = {}) => ({
    aud: AUDIENCE,
    iss: `https://sts.windows.net/${TENANT}/`,
    iat: NOW - 10,
    nbf: NOW - 10,
    exp: NOW + 86_390,
    aio: "x",
    appid: "0b5d0000-0000-4000-8000-000000000004",
    appidacr: "2",
    idp: `https://sts.windows.net/${TENANT}/`,
    idtyp: "app",
    oid: PRINCIPAL,
    rh: "x",
    sub: PRINCIPAL,
    tid: TENANT,
    uti: "x",
    ver: "1.0",
    xms_mirid: RESOURCE,
    ...changed,
  });
  const attestors = () =>
    createAttestors(
      attestationSettings.parse({
        azure: { tenants: [{ tenantId: TENANT, audience: AUDIENCE, keys: { inline: [key.jwk] } }] },
      }),
    );
  const attest = (changed: object = {}, header: object = { x5t: "abc" }) =>
    attestors().attest({ type: "azure_token", token: key.token(claims(changed), header) }, CONTEXT);

  it("proves tenant, principal, resource and subscription", async () => {
    const attested = await attest();
    expect(formatSelectors(attested.selectors)).toEqual([
      "azure:app_id:0b5d0000-0000-4000-8000-000000000004",
      `azure:principal_id:${PRINCIPAL}`,
      `azure:resource_id:${RESOURCE}`,
      `azure:subscription_id:${SUBSCRIPTION}`,
      `azure:tenant_id:${TENANT}`,
    ]);
    expect(attested).toMatchObject({ subject: `azure:${TENANT}:${PRINCIPAL}`, expiresAt: NOW + 86_390 });
  });

  it("is refused for a user, an application with a secret, or a resource that is none", async () => {
    for (const changed of [
      { xms_mirid: undefined },
      { xms_mirid: "" },
      { xms_mirid: "/subscriptions/x" },
      { xms_mirid: `${RESOURCE}/` },
      { xms_mirid: `/subscriptions/${SUBSCRIPTION}/../${SUBSCRIPTION}` },
      { idtyp: "user" },
      { sub: "someone else" },
      { oid: undefined },
      { tid: "72f988bf-0000-4000-8000-000000000009" },
      { aud: "https://management.azure.com/" },
    ]) {
      await expect(attest(changed), JSON.stringify(changed)).rejects.toEqual(REFUSED);
    }
  });

  it("is of a configured tenant", async () => {
    for (const iss of [
      `https://sts.windows.net/${TENANT}`,
      "https://sts.windows.net/common/",
      undefined,
      1,
    ]) {
      await expect(attest({ iss }), String(iss)).rejects.toEqual(UNTRUSTED);
    }
    await expect(attestors().attest({ type: "azure_token", token: "x" }, CONTEXT)).rejects.toEqual(MALFORMED);
  });
});

describe("an attested document of the metadata service", () => {
  const root = createCertificate({ name: "Root", isCa: true });
  const authority = createCertificate({ name: "Issuing CA", isCa: true, issuer: root });
  const otherRoot = createCertificate({ name: "Root", isCa: true });
  const otherAuthority = createCertificate({ name: "Issuing CA", isCa: true, issuer: otherRoot });
  const name = { name: "metadata.azure.com", san: "DNS:metadata.azure.com" };
  const service = createCertificate({ ...name, issuer: authority, serial: 21 });
  const forged = createCertificate({ ...name, issuer: otherAuthority, serial: 21 });

  const stamp = (seconds: number) => {
    const text = new Date(seconds * 1000).toISOString();
    return `${text.slice(5, 7)}/${text.slice(8, 10)}/${text.slice(2, 4)} ${text.slice(11, 19)} -0000`;
  };
  const document = (changed: object = {}) =>
    JSON.stringify({
      licenseType: "",
      nonce: formatAzureNonce(CONTEXT.nonce),
      plan: { name: "", product: "", publisher: "" },
      sku: "22_04-lts-gen2",
      subscriptionId: SUBSCRIPTION,
      timeStamp: { createdOn: stamp(NOW - 10), expiresOn: stamp(NOW + 21_590) },
      vmId: "d3e00000-0000-4000-8000-000000000005",
      ...changed,
    });
  const attestors = (changed: object = {}) =>
    createAttestors(
      attestationSettings.parse({
        azure: {
          document: {
            roots: [root.pem],
            intermediates: [authority.pem],
            subscriptionIds: [SUBSCRIPTION],
            singleUse: false,
            ...changed,
          },
        },
      }),
    );
  const evidence = (text: string, options: Partial<SigningOptions> = {}) =>
    ({ type: "azure_document", pkcs7: signDocument(text, { signer: service, ...options }) }) as const;
  const attest = (text: string, options: Partial<SigningOptions> = {}, config: object = {}) =>
    attestors(config).attest(evidence(text, options), CONTEXT);

  it("proves subscription and virtual machine", async () => {
    const attested = await attest(document());
    expect(formatSelectors(attested.selectors)).toEqual([
      "azure:sku:22_04-lts-gen2",
      `azure:subscription_id:${SUBSCRIPTION}`,
      "azure:vm_id:d3e00000-0000-4000-8000-000000000005",
    ]);
    expect(attested.expiresAt).toBe(NOW + 21_590);
  });

  it("is for this exchange: it carries the digits of our nonce", async () => {
    expect(formatAzureNonce("a")).toMatch(/^\d{10}$/);
    expect(formatAzureNonce("a")).not.toBe(formatAzureNonce("b"));
    await expect(attest(document({ nonce: formatAzureNonce("another") }))).rejects.toEqual(REFUSED);
    await expect(attest(document({ nonce: undefined }))).rejects.toEqual(REFUSED);
    const { nonce: _nonce, ...without } = CONTEXT;
    await expect(attestors().attest(evidence(document()), without)).rejects.toEqual(REFUSED);
  });

  it("is refused when the genuine certificate lies in the bag and another key signed (B4)", async () => {
    await expect(attest(document(), { signer: forged })).rejects.toEqual(UNTRUSTED);
    await expect(
      attest(document(), { signer: forged, hasSigner: false, bag: [service] }),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/^attestation_(?:malformed|refused)$/),
    });
    // Same issuer's name and same serial number as the genuine one.
    await expect(attest(document(), { signer: forged, bag: [service] })).rejects.toEqual(MALFORMED);
    const stranger = createCertificate({ ...name, serial: 21 });
    await expect(attest(document(), { signer: stranger, bag: [service, authority, root] })).rejects.toEqual(
      UNTRUSTED,
    );
  });

  it("is refused when its chain ends elsewhere, skips an authority, or brings its own", async () => {
    await expect(attest(document(), { bag: [otherAuthority] }, { intermediates: [] })).rejects.toEqual(
      UNTRUSTED,
    );
    await expect(attest(document(), { bag: [authority] }, { intermediates: [] })).rejects.toEqual(UNTRUSTED);
    await expect(attest(document(), {}, { roots: [otherRoot.pem] })).rejects.toEqual(UNTRUSTED);
    const leafIssuer = createCertificate({ name: "Not a CA", issuer: authority });
    const below = createCertificate({ ...name, issuer: leafIssuer });
    await expect(
      attest(document(), { signer: below }, { intermediates: [authority.pem, leafIssuer.pem] }),
    ).rejects.toEqual(UNTRUSTED);
    await expect(attest(document(), { signer: authority })).rejects.toEqual(REFUSED);
  });

  it("is refused under another name than the service's", async () => {
    for (const san of ["DNS:metadata.azure.com.evil.test", "DNS:*.azure.com", "DNS:evil.test"]) {
      const signer = createCertificate({ name: "metadata.azure.com", san, issuer: authority });
      await expect(attest(document(), { signer }), san).rejects.toEqual(UNTRUSTED);
    }
    const regional = createCertificate({
      name: "x",
      san: "DNS:westeurope.metadata.azure.com",
      issuer: authority,
    });
    const signerNames = ["westeurope.metadata.azure.com"];
    await expect(attest(document(), { signer: regional }, { signerNames })).resolves.toBeDefined();
  });

  it("is refused of another subscription, or with members missing or ill-typed", async () => {
    await expect(attest(document({ subscriptionId: TENANT }))).rejects.toEqual(UNTRUSTED);
    for (const changed of [
      { subscriptionId: undefined },
      { vmId: undefined },
      { vmId: 1 },
      { timeStamp: "x" },
    ]) {
      await expect(attest(document(changed)), JSON.stringify(changed)).rejects.toEqual(REFUSED);
    }
  });

  it("ends to the second", async () => {
    const at = (nowSeconds: number) => attestors().attest(evidence(document()), { ...CONTEXT, nowSeconds });
    await expect(at(NOW + 21_589)).resolves.toBeDefined();
    await expect(at(NOW + 21_590)).rejects.toEqual(EXPIRED);
    await expect(at(NOW - 70)).resolves.toBeDefined();
    await expect(at(NOW - 71)).rejects.toEqual(EXPIRED);
    const longer = { createdOn: stamp(NOW), expiresOn: stamp(NOW + 86_401) };
    await expect(attest(document({ timeStamp: longer }))).rejects.toEqual(EXPIRED);
    for (const createdOn of ["13/01/26 00:00:00 -0000", "01/01/26 00:00:00 -0700", "2026-01-01T00:00:00Z"]) {
      const timeStamp = { createdOn, expiresOn: stamp(NOW + 60) };
      await expect(attest(document({ timeStamp })), createdOn).rejects.toEqual(MALFORMED);
    }
  });

  it("is refused when a certificate of its chain has expired", async () => {
    const late = { ...CONTEXT, nowSeconds: NOW + 400_000_000 };
    await expect(attestors().attest(evidence(document()), late)).rejects.toEqual(EXPIRED);
  });
});
