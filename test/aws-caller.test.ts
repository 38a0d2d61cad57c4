/** `fromAwsRole` against the server's attestor and an STS that computes the signature over what really arrives. */
import { createHash, createHmac } from "node:crypto";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import { evidence } from "@trustwarden/core/api/attestation.ts";
import { fromAwsRole, Secret } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAttestors } from "../server/attest/attestors.ts";
import { attestationSettings } from "../server/attest/config.ts";
import { CONTEXT, NOW, serve, type TestHttp } from "../server/attest/issuer.test.support.ts";

const REGION = "eu-central-1";
const KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const credentials = {
  accessKeyId: "ASIAEXAMPLEEXAMPLE00",
  secretAccessKey: new Secret(KEY),
  sessionToken: new Secret("FwoGZXIvYXdzEXAMPLE=="),
};
const IDENTITY = {
  Account: "123456789012",
  Arn: "arn:aws:sts::123456789012:assumed-role/agent/session-1",
  UserId: "AROAEXAMPLEEXAMPLE:session-1",
};
const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
const hex = (text: string) => createHash("sha256").update(text).digest("hex");

let sts: TestHttp;
beforeAll(async () => {
  sts = await serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const [, scope = "", signed = "", shown] =
      /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+), Signature=(\w+)$/.exec(
        request.headers.authorization ?? "",
      ) ?? [];
    const lines = signed.split(";").map((name) => `${name}:${String(request.headers[name])}\n`);
    const canonical = [request.method, request.url, "", lines.join(""), signed, hex(body)].join("\n");
    const key = scope.split("/").reduce<string | Buffer>((before, part) => hmac(before, part), `AWS4${KEY}`);
    const date = String(request.headers["x-amz-date"]);
    const text = ["AWS4-HMAC-SHA256", date, scope, hex(canonical)].join("\n");
    if (hmac(key, text).toString("hex") !== shown) response.writeHead(403).end("{}");
    else response.end(JSON.stringify({ GetCallerIdentityResponse: { GetCallerIdentityResult: IDENTITY } }));
  });
});
afterAll(() => sts.close());

const sourceWith = (secret = credentials) =>
  fromAwsRole({
    region: REGION,
    host: new URL(sts.url).host,
    credentials: async () => secret,
    runtime: { nowMs: () => NOW * 1000 },
  });
const attest = async (source = sourceWith(), context = CONTEXT) => {
  const endpoints = { [REGION]: { url: sts.url, allowPrivate: true } };
  const attestors = createAttestors(attestationSettings.parse({ aws: { callerEndpoints: endpoints } }));
  const made = await source({ audience: CONTEXT.audience, nonce: CONTEXT.nonce });
  return attestors.attest(evidence.parse(made), context);
};

describe("evidence of an AWS role", () => {
  it("is accepted by the server, which learns account, role and session from STS", async () => {
    expect(formatSelectors((await attest()).selectors)).toContain("aws:role:123456789012/agent");
  });

  it("is refused with another key, for another server, and under another nonce", async () => {
    const refused = expect.objectContaining({ code: "attestation_refused" });
    const wrong = { ...credentials, secretAccessKey: new Secret("another") };
    await expect(attest(sourceWith(wrong))).rejects.toThrow(refused);
    const elsewhere = { ...CONTEXT, audience: "spiffe://other.test" };
    await expect(attest(sourceWith(), elsewhere)).rejects.toThrow(refused);
    await expect(attest(sourceWith(), { ...CONTEXT, nonce: "another" })).rejects.toThrow(refused);
  });

  it("needs a region", () => {
    const of = (region: string) => () => fromAwsRole({ region, credentials: async () => credentials });
    expect(of("Mars!")).toThrow(expect.objectContaining({ code: "config_invalid" }));
    expect(of(REGION)).not.toThrow();
  });
});
