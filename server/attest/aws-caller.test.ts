import { createHash, createHmac } from "node:crypto";
import { formatSelectors } from "@trustwarden/core/agentid/selector.ts";
import type { Evidence } from "@trustwarden/core/api/attestation.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createAttestors } from "./attestors.ts";
import { attestationSettings } from "./config.ts";
import { CONTEXT, NOW, serve, type TestHttp } from "./issuer.test.support.ts";

const REFUSED = expect.objectContaining({ code: "attestation_refused" });
const MALFORMED = expect.objectContaining({ code: "attestation_malformed" });
const EXPIRED = expect.objectContaining({ code: "attestation_expired" });
const UNAVAILABLE = expect.objectContaining({ code: "attestation_unavailable" });

const hex = (text: string) => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();

interface Signing {
  readonly secret: string;
  readonly region: string;
  readonly service: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** AWS Signature Version 4 of a request for `/`. */
function signatureOf({ secret, region, service, method, headers, body }: Signing): string {
  const names = Object.keys(headers).toSorted();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const canonical = [method, "/", "", lines, names.join(";"), hex(body)].join("\n");
  const date = headers["x-amz-date"] ?? "";
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const parts = [date.slice(0, 8), region, service, "aws4_request"];
  const key = parts.reduce<string | Buffer>((secretKey, part) => hmac(secretKey, part), `AWS4${secret}`);
  return hmac(key, ["AWS4-HMAC-SHA256", date, scope, hex(canonical)].join("\n")).toString("hex");
}

const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN = "FwoGZXIvYXdzEXAMPLE==";
const BODY = "Action=GetCallerIdentity&Version=2011-06-15";
const REGION = "eu-central-1";
const amzDate = (seconds: number) =>
  new Date(seconds * 1000).toISOString().replaceAll(/[-:]/g, "").replace(/\.\d+/, "");
const IDENTITY = {
  Account: "123456789012",
  Arn: "arn:aws:sts::123456789012:assumed-role/agent/i-0123456789abcdef0",
  UserId: "AROAEXAMPLEEXAMPLE:i-0123456789abcdef0",
};

let sts: TestHttp;
let identity: object = IDENTITY;
/** The stand-in verifies as STS does: by computing the signature over what arrives. */
beforeAll(async () => {
  sts = await serve(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const [, signed = "", shown] =
      /SignedHeaders=([^,]+), Signature=(\w+)$/.exec(request.headers.authorization ?? "") ?? [];
    const headers = Object.fromEntries(
      signed.split(";").map((name) => [name, String(request.headers[name])]),
    );
    const expected = signatureOf({
      secret: SECRET,
      region: REGION,
      service: "sts",
      method: request.method ?? "",
      headers,
      body,
    });
    if (shown !== expected || request.headers["x-amz-security-token"] !== TOKEN || request.url !== "/") {
      response.writeHead(403).end('{"Error":{"Code":"SignatureDoesNotMatch"}}');
      return;
    }
    response.end(
      body === BODY
        ? JSON.stringify({ GetCallerIdentityResponse: { GetCallerIdentityResult: identity } })
        : "{}",
    );
  });
});
afterAll(() => sts.close());
beforeEach(() => {
  identity = IDENTITY;
});

type CallerEvidence = Extract<Evidence, { readonly type: "aws_caller" }>;

/** As an agent signs it; each header may be changed. */
function evidenceOf(
  changed: Readonly<Record<string, string>> = {},
  { at = NOW, secret = SECRET } = {},
): CallerEvidence {
  const headers = {
    "content-type": "application/x-www-form-urlencoded; charset=utf-8",
    host: new URL(sts.url).host,
    "x-amz-date": amzDate(at),
    "x-amz-security-token": TOKEN,
    "x-trustwarden-audience": CONTEXT.audience,
    "x-trustwarden-nonce": CONTEXT.nonce,
    ...changed,
  };
  const signature = signatureOf({
    secret,
    region: REGION,
    service: "sts",
    method: "POST",
    headers,
    body: BODY,
  });
  const scope = `${amzDate(at).slice(0, 8)}/${REGION}/sts/aws4_request`;
  const names = Object.keys(headers).toSorted().join(";");
  return {
    type: "aws_caller",
    region: REGION,
    authorization: `AWS4-HMAC-SHA256 Credential=ASIAEXAMPLEEXAMPLE00/${scope}, SignedHeaders=${names}, Signature=${signature}`,
    amz_date: amzDate(at),
    security_token: TOKEN,
  };
}
const attestors = () =>
  createAttestors(
    attestationSettings.parse({
      aws: { callerEndpoints: { [REGION]: { url: sts.url, allowPrivate: true } } },
    }),
  );
const attest = (evidence: CallerEvidence, context = CONTEXT) => attestors().attest(evidence, context);

describe("a signed request for the caller's identity", () => {
  it("is signed in this test as AWS's own test suite says (get-vanilla)", () => {
    const signature = signatureOf({
      secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
      region: "us-east-1",
      service: "service",
      method: "GET",
      headers: { host: "example.amazonaws.com", "x-amz-date": "20150830T123600Z" },
      body: "",
    });
    expect(signature).toBe("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  });

  it("proves account, role and session", async () => {
    const attested = await attest(evidenceOf());
    expect(formatSelectors(attested.selectors)).toEqual([
      "aws:account:123456789012",
      "aws:region:eu-central-1",
      "aws:role:123456789012/agent",
      "aws:role_id:AROAEXAMPLEEXAMPLE",
      "aws:session:i-0123456789abcdef0",
    ]);
    expect(attested.subject).toBe("aws:123456789012:AROAEXAMPLEEXAMPLE:i-0123456789abcdef0");
    expect(sts.requests.at(-1)?.url).toBe("/");
  });

  it("does not verify for another service, exchange, host or key", async () => {
    const changes = [
      { "x-trustwarden-audience": "spiffe://other.test" },
      { "x-trustwarden-nonce": "another" },
      { host: "sts.us-east-1.amazonaws.com" },
      { "content-type": "text/plain" },
    ];
    for (const changed of changes) {
      await expect(attest(evidenceOf(changed)), JSON.stringify(changed)).rejects.toEqual(REFUSED);
    }
    await expect(attest(evidenceOf({}, { secret: "other" }))).rejects.toEqual(REFUSED);
    await expect(attest({ ...evidenceOf(), security_token: "other" })).rejects.toEqual(REFUSED);
    const { nonce: _nonce, ...without } = CONTEXT;
    await expect(attestors().attest(evidenceOf(), without)).rejects.toEqual(REFUSED);
  });

  it("is not even sent with other signed headers, another scope or another form", async () => {
    const before = sts.requests.length;
    await expect(attest(evidenceOf({ "x-evil": "1" }))).rejects.toEqual(REFUSED);
    const good = evidenceOf();
    for (const authorization of [
      "",
      "Bearer x",
      good.authorization.replace("/sts/", "/s3/"),
      good.authorization.replace(REGION, "us-east-1"),
      good.authorization.replace(/\d{8}\/eu/, "20200101/eu"),
      `${good.authorization}\r\nx-evil: 1`,
      good.authorization.toLowerCase(),
      good.authorization.replace(", ", ","),
    ]) {
      await expect(attest({ ...good, authorization }), authorization).rejects.toEqual(MALFORMED);
    }
    await expect(attest({ ...good, security_token: "a\r\nb" })).rejects.toEqual(MALFORMED);
    for (const region of ["us-east-1", "constructor", "evil.test/"]) {
      await expect(attest({ ...good, region })).rejects.toMatchObject({
        code: "attestation_untrusted_issuer",
      });
    }
    expect(sts.requests.length).toBe(before);
  });

  it("is five minutes old at most, and is meant to serve once", async () => {
    await expect(attest(evidenceOf({}, { at: NOW - 299 }))).resolves.toBeDefined();
    await expect(attest(evidenceOf({}, { at: NOW - 300 }))).rejects.toEqual(EXPIRED);
    await expect(attest(evidenceOf({}, { at: NOW + 300 }))).rejects.toEqual(EXPIRED);
    expect((await attest(evidenceOf())).singleUse).toMatchObject({ expiresAt: NOW + 300 });
  });

  it("proves nothing for users, the root, federated sessions and answers that contradict themselves", async () => {
    for (const changed of [
      { Arn: "arn:aws:iam::123456789012:user/alice", UserId: "AIDAEXAMPLE" },
      { Arn: "arn:aws:iam::123456789012:root", UserId: "123456789012" },
      { Arn: "arn:aws:sts::123456789012:federated-user/alice", UserId: "123456789012:alice" },
      { Account: "999999999999" },
      { Account: 123456789012 },
      { UserId: "AIDAEXAMPLE:x" },
      { Arn: undefined },
      { Arn: "arn:evil:sts::123456789012:assumed-role/agent/x" },
    ]) {
      identity = { ...IDENTITY, ...changed };
      await expect(attest(evidenceOf()), JSON.stringify(changed)).rejects.toEqual(REFUSED);
    }
  });

  it("proves nothing when STS cannot be asked", async () => {
    const gone = createAttestors(
      attestationSettings.parse({ aws: { callerEndpoints: { [REGION]: { url: "https://127.0.0.1:1" } } } }),
    );
    await expect(gone.attest(evidenceOf(), CONTEXT)).rejects.toEqual(UNAVAILABLE);
  });
});
