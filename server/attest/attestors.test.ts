import { readFileSync } from "node:fs";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { evidence as evidenceSchema } from "@trustwarden/core/api/attestation.ts";
import { describe, expect, it } from "vitest";
import { createAttestors } from "./attestors.ts";
import { attestationSettings } from "./config.ts";
import { AUDIENCE, CONTEXT, NOW, TestKey } from "./issuer.test.support.ts";

const UNTRUSTED = expect.objectContaining({ code: "attestation_untrusted_issuer" });
const key = new TestKey("key-1");
const inline = { inline: [key.jwk] };
const ISSUER = "https://issuer.test";
const claims = { iss: ISSUER, aud: AUDIENCE, sub: "workload", iat: NOW - 10, exp: NOW + 600 };

const attestorsOf = (config: unknown) => createAttestors(attestationSettings.parse(config));

describe("evidence", () => {
  it("is a closed union: no type, an empty one, a wrong case and neighbours of each are no evidence (B1)", () => {
    const token = "a.b.c";
    const known = [
      "k8s",
      "github",
      "oidc",
      "aws_pkcs7",
      "aws_signature",
      "aws_caller",
      "gcp",
      "azure_token",
      "azure_document",
    ];
    const neighbours = known.flatMap((type) => [
      type.toUpperCase(),
      `${type}s`,
      ` ${type}`,
      `${type}\0`,
      type.slice(0, -1),
      String.fromCharCode(type.charCodeAt(0) + 1) + type.slice(1),
    ]);
    for (const type of [
      ...neighbours,
      "",
      undefined,
      null,
      0,
      1,
      -1,
      ["k8s"],
      "constructor",
      "__proto__",
      "none",
    ]) {
      const parsed = evidenceSchema.safeParse({
        type,
        token,
        cluster: "prod",
        provider: "corp",
        pkcs7: "AAAA",
      });
      expect(parsed.success, JSON.stringify(type)).toBe(false);
    }
    for (const empty of [{}, [], null, "", "k8s", { type: "gcp" }, { type: "gcp", token: "" }]) {
      expect(evidenceSchema.safeParse(empty).success).toBe(false);
    }
    expect(evidenceSchema.safeParse({ type: "gcp", token }).success).toBe(true);
  });

  it("has no member beside what is signed (B3)", () => {
    for (const extra of ["selectors", "subject", "account", "document", "cluster"]) {
      expect(evidenceSchema.safeParse({ type: "gcp", token: "a.b.c", [extra]: "x" }).success).toBe(false);
    }
  });
});

describe("attestors", () => {
  it("do not exist unless they are configured: nothing configured, nothing accepted", async () => {
    const attestors = attestorsOf({});
    const token = key.token(claims);
    for (const evidence of [
      { type: "k8s", cluster: "prod", token },
      { type: "github", token },
      { type: "oidc", provider: "corp", token },
      { type: "aws_pkcs7", pkcs7: "AAAA" },
      { type: "aws_signature", document: "{}", signature: "AAAA" },
      { type: "gcp", token },
      { type: "azure_token", token },
      { type: "azure_document", pkcs7: "AAAA" },
    ] as const) {
      await expect(attestors.attest(evidence, CONTEXT), evidence.type).rejects.toEqual(UNTRUSTED);
    }
  });

  it("refuse a type that came around the schema", async () => {
    const attestors = attestorsOf({ oidc: [{ name: "corp", issuer: ISSUER, keys: inline }] });
    for (const type of ["OIDC", "constructor", "", "toString"]) {
      const odd = JSON.parse(JSON.stringify({ type, provider: "corp", token: key.token(claims) }));
      await expect(attestors.attest(odd, CONTEXT)).rejects.toEqual(UNTRUSTED);
    }
  });

  it("are found by their configured name only", async () => {
    const attestors = attestorsOf({ oidc: [{ name: "corp", issuer: ISSUER, keys: inline }] });
    for (const provider of ["Corp", "corp2", "constructor", ""]) {
      const evidence = { type: "oidc", provider, token: key.token(claims) } as const;
      await expect(attestors.attest(evidence, CONTEXT)).rejects.toEqual(UNTRUSTED);
    }
  });

  it("name evidence that serves once the same, however its signature is spelt, and no other", async () => {
    const ec = new TestKey("key-1", "ES256");
    const config = { name: "corp", issuer: ISSUER, keys: { inline: [ec.jwk] } };
    const idOf = async (attestors: ReturnType<typeof attestorsOf>, changed: object = {}) => {
      const token = ec.token({ ...claims, ...changed });
      return (await attestors.attest({ type: "oidc", provider: "corp", token }, CONTEXT)).singleUse;
    };
    const once = attestorsOf({ oidc: [config] });
    const first = await idOf(once);
    expect(first).toMatchObject({ id: expect.stringMatching(/^[\w-]{43}$/), expiresAt: NOW + 600 });
    expect(await idOf(once)).toEqual(first);
    expect(await idOf(once, { jti: "2" })).not.toEqual(first);
    expect(await idOf(attestorsOf({ oidc: [{ ...config, singleUse: false }] }))).toBeNull();
  });

  it("are configured strictly", () => {
    const parse = (config: unknown) => attestationSettings.safeParse(config).success;
    expect(
      parse({ oidc: [{ name: "corp", issuer: ISSUER, keys: { ...inline, jwks: { url: ISSUER } } }] }),
    ).toBe(false);
    expect(parse({ oidc: [{ name: "corp", issuer: ISSUER, keys: {} }] })).toBe(false);
    expect(parse({ oidc: [{ name: "corp", issuer: ISSUER, keys: inline, algorithms: ["HS256"] }] })).toBe(
      false,
    );
    expect(parse({ oidc: [{ name: "corp", issuer: ISSUER, keys: inline, algorithms: ["none"] }] })).toBe(
      false,
    );
    expect(parse({ gitlab: {} })).toBe(false);
    const twice = { name: "corp", issuer: ISSUER, keys: inline };
    expect(() => attestorsOf({ oidc: [twice, twice] })).toThrow(
      expect.objectContaining({ code: "config_invalid" }),
    );
    expect(() =>
      attestorsOf({ aws: { certificates: { "eu-central-1": "-----BEGIN CERTIFICATE-----" } } }),
    ).toThrow(expect.objectContaining({ code: "config_invalid" }));
  });
});

describe("any OIDC issuer", () => {
  const config = {
    name: "corp",
    issuer: ISSUER,
    keys: inline,
    selectors: { "https://corp.test/team": "team", verified: "verified", level: "level", group: "group" },
  };
  const attest = (extra: object) =>
    attestorsOf({ oidc: [config] }).attest(
      { type: "oidc", provider: "corp", token: key.token({ ...claims, ...extra }) },
      CONTEXT,
    );

  it("proves the claims that are configured, under its own name", async () => {
    const attested = await attest({
      "https://corp.test/team": "pay:eu",
      verified: true,
      level: 3,
      other: "x",
    });
    expect(formatSelectors(attested.selectors)).toEqual([
      "oidc:corp:level:3",
      "oidc:corp:sub:workload",
      "oidc:corp:team:pay:eu",
      "oidc:corp:verified:true",
    ]);
    expect(attested).toMatchObject({
      subject: "oidc:corp:workload",
      claims: { provider: "corp", level: "3" },
    });
  });

  it("proves no claim that has no single text, and none without a subject", async () => {
    const refused = expect.objectContaining({ code: "attestation_refused" });
    for (const extra of [
      { group: ["a", "b"] },
      { group: { a: 1 } },
      { group: 1.5 },
      { group: "a\nb" },
      { group: "x".repeat(1001) },
      { sub: undefined },
      { sub: "" },
      { sub: 7 },
      { sub: "a\u202eb" },
    ]) {
      await expect(attest(extra), JSON.stringify(extra).slice(0, 40)).rejects.toEqual(refused);
    }
  });
});

describe("the guide to attestation", () => {
  it("shows configurations that are valid", () => {
    const guide = readFileSync(new URL("../../docs/guides/attestation.md", import.meta.url), "utf8");
    const blocks = [...guide.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text]) => JSON.parse(text ?? ""));
    expect(blocks.length).toBeGreaterThan(5);
    for (const { attestation } of blocks) {
      expect(attestationSettings.safeParse(attestation), JSON.stringify(attestation)).toMatchObject({
        success: true,
      });
    }
  });
});
