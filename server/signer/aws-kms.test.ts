/** The client of AWS KMS against a stand-in that checks each request's signature as AWS documents it. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { inspect } from "node:util";
import { encodeSpki, isP256Signature } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  KMS_CREDENTIALS,
  KMS_REGION,
  type Misbehaviour,
  refuse,
  reply,
  startTestKms,
  type TestKms,
} from "../../test/support/kms.ts";
import { createWebCertificate } from "../../test/support/web-certificate.ts";
import { parseConfig, readAwsEnvironment } from "../config.ts";
import { parseAwsCredentials, readAwsCredentials } from "./aws-credentials.ts";
import { findKmsKey, type KmsPlace, openKmsSigner } from "./aws-kms.ts";
import { signPost } from "./aws-signature.ts";

const code = (name: string) => expect.objectContaining({ code: name });
const UNAVAILABLE = code("signer_unavailable");
const INVALID = code("config_invalid");
const data = new Uint8Array(5000).fill(7);
/** Of AWS's published example with temporary credentials. */
const SUITE_TOKEN =
  "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
const folder = mkdtempSync(join(tmpdir(), "tw-kms-"));

let kms: TestKms;
let keyId: string;
beforeAll(async () => {
  kms = await startTestKms();
  keyId = kms.addKey();
});
afterAll(async () => {
  await kms.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  kms.misbehave = undefined;
});

function placeOf(changed: Partial<KmsPlace> = {}): KmsPlace {
  return {
    region: KMS_REGION,
    endpoint: kms.url,
    keyId,
    timeoutMs: 5000,
    credentials: () => KMS_CREDENTIALS,
    nowMs: Date.now,
    ...changed,
  };
}

/** What goes wrong, all of it: code, details and causes. */
async function failureOf(work: Promise<unknown>): Promise<TrustWardenError> {
  const error: unknown = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (!(error instanceof TrustWardenError)) throw new Error("not refused", { cause: error });
  expect(inspect(error, { depth: 9 })).not.toMatch(/private-name|wJalr|FwoGZ/);
  return error;
}

/** A signer that is open before KMS goes wrong. */
async function signAfter(misbehave: Misbehaviour): Promise<TrustWardenError> {
  kms.misbehave = undefined;
  const signer = await openKmsSigner(placeOf(), kms.arnOf(keyId));
  kms.misbehave = misbehave;
  return failureOf(signer.sign(data));
}

describe("the signature of a request", () => {
  it("is AWS's own, for the published examples", () => {
    const credentials = {
      accessKeyId: "AKIDEXAMPLE",
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    };
    const scope = { region: "us-east-1", service: "service", nowMs: Date.UTC(2015, 7, 30, 12, 36) };
    const signed = (headers: Readonly<Record<string, string>>, body: string, sessionToken?: string) =>
      signPost({ host: "example.amazonaws.com", headers, body }, { ...credentials, sessionToken }, scope)
        .authorization;
    const credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
    expect(signed({}, "")).toBe(
      `${credential}, SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b`,
    );
    expect(signed({ "content-type": "application/x-www-form-urlencoded" }, "Param1=value1")).toBe(
      `${credential}, SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a`,
    );
    expect(signed({}, "", SUITE_TOKEN)).toBe(
      `${credential}, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead`,
    );
  });
});

describe("a key in KMS", () => {
  it("is found by its id and by its ARN, and signs what is longer than KMS takes", async () => {
    const found = await findKmsKey(placeOf(), keyId);
    expect(found.arn).toBe(kms.arnOf(keyId));
    expect(new Uint8Array(found.spki)).toEqual(kms.spkiOf(keyId));
    const signer = await openKmsSigner(placeOf(), found.arn);
    expect(encodeSpki(signer.publicKey)).toEqual(found.spki);
    for (let turn = 0; turn < 8; turn += 1) {
      expect(isP256Signature(signer.publicKey, data, await signer.sign(data))).toBe(true);
    }
  });

  it("is asked over TLS, and of nobody whose certificate is not believed", async () => {
    const { certFile, keyFile, ca, remove } = createWebCertificate();
    const far = await startTestKms({
      key: readFileSync(keyFile, "utf8"),
      cert: readFileSync(certFile, "utf8"),
    });
    const usual = getCACertificates("default");
    try {
      const id = far.addKey();
      const place = placeOf({ endpoint: far.url });
      expect(await failureOf(findKmsKey(place, id))).toEqual(UNAVAILABLE);
      expect(far.operations).toEqual([]);
      setDefaultCACertificates([...usual, ca]);
      const signer = await openKmsSigner(place, far.arnOf(id));
      expect(isP256Signature(signer.publicKey, data, await signer.sign(data))).toBe(true);
      expect(far.operations).toEqual(["GetPublicKey", "Sign"]);
    } finally {
      setDefaultCACertificates(usual);
      await far.close();
      remove();
    }
  });

  it("is P-256 or refused", async () => {
    expect(await failureOf(findKmsKey(placeOf(), kms.addKey("P-384")))).toEqual(INVALID);
    const changes = [{ KeyUsage: "KEY_AGREEMENT" }, { SigningAlgorithms: ["SM2DSA"] }, { KeySpec: 5 }];
    for (const changed of changes) {
      kms.misbehave = (response, answer) => reply(response, { ...answer, ...changed });
      expect(await failureOf(findKmsKey(placeOf(), keyId))).toEqual(INVALID);
    }
    const otherCurve = Buffer.from(kms.spkiOf(kms.addKey("P-384"))).toString("base64");
    for (const changed of [
      { PublicKey: otherCurve },
      { PublicKey: "!" },
      { PublicKey: 1 },
      { KeyId: "key" },
    ]) {
      kms.misbehave = (response, answer) => reply(response, { ...answer, ...changed });
      expect(await failureOf(findKmsKey(placeOf(), keyId))).toEqual(UNAVAILABLE);
    }
  });

  it("is not another one than was asked for", async () => {
    const other = kms.addKey();
    kms.misbehave = (response, answer) => reply(response, { ...answer, KeyId: kms.arnOf(other) });
    expect(await failureOf(openKmsSigner(placeOf(), kms.arnOf(keyId)))).toEqual(UNAVAILABLE);
  });
});

describe("a request that KMS refuses", () => {
  it("says why in words of ours: credentials, clock, region, key", async () => {
    const refusals = [
      [
        { credentials: () => ({ ...KMS_CREDENTIALS, secretAccessKey: "other" }) },
        "InvalidSignatureException",
      ],
      [
        { credentials: () => ({ ...KMS_CREDENTIALS, sessionToken: undefined }) },
        "UnrecognizedClientException",
      ],
      [{ nowMs: () => Date.now() - 301_000 }, "InvalidSignatureException"],
      [{ region: "us-east-1" }, "InvalidSignatureException"],
    ] as const;
    for (const [changed, refusal] of refusals) {
      const failure = await failureOf(findKmsKey(placeOf(changed), keyId));
      expect(failure).toEqual(UNAVAILABLE);
      expect(failure.details).toMatchObject({ refusal, status: 400 });
    }
    const inTime = placeOf({ nowMs: () => Date.now() - 290_000 });
    expect((await findKmsKey(inTime, keyId)).arn).toBe(kms.arnOf(keyId));
    const failure = await failureOf(findKmsKey(placeOf(), "none"));
    expect(failure.details).toMatchObject({ reason: "there is no such key in the region" });
  });

  it("is not repeated behind anybody's back: no permission, too many, broken", async () => {
    const refusals = [
      ["AccessDeniedException", 400, "the credentials may not use the key"],
      ["com.amazonaws.kms#ThrottlingException", 400, "too many requests"],
      ["KMSInternalException", 500, "KMS refused"],
      ["arn:aws:iam::1:user/private-name", 400, "KMS refused"],
    ] as const;
    for (const [name, status, reason] of refusals) {
      const failure = await signAfter((response) => refuse(response, name, status));
      expect(failure).toEqual(UNAVAILABLE);
      expect(failure.details).toMatchObject({ status, reason });
    }
  });
});

describe("an answer that is none", () => {
  it("is used by nobody: another signature, another form of it, garbage, too much, a redirect", async () => {
    const answers: Readonly<Record<string, Misbehaviour>> = {
      "another digest's": (response, answer) => {
        const other =
          "MEUCIQCY2vFGhIJ4ymDPbpEeXBnmHHmSfQw+CNfCbX9GZbXTEAIgTmxkFyBcEp4Z9NeyYiKDpJmU8XWIvf1uDpWAHKnVXJc=";
        reply(response, { ...answer, Signature: other });
      },
      "bytes behind": (response, answer) => {
        const longer = Buffer.concat([Buffer.from(String(answer.Signature), "base64"), Buffer.of(0)]);
        reply(response, { ...answer, Signature: longer.toString("base64") });
      },
      "raw r and s": (response, answer) =>
        reply(response, { ...answer, Signature: Buffer.alloc(64, 1).toString("base64") }),
      nothing: (response) => reply(response, {}),
      "not JSON": (response) => response.end("<html>private-name</html>"),
      "not text": (response) => response.end(Buffer.of(0xff, 0xfe)),
      "too much": (response, answer) => reply(response, { ...answer, more: "x".repeat(16_384) }),
      "a redirect": (response) => response.writeHead(307, { location: kms.url }).end("{}"),
      "a closed connection": (response) => response.destroy(),
    };
    for (const misbehave of Object.values(answers)) expect(await signAfter(misbehave)).toEqual(UNAVAILABLE);
  });

  it("is not waited for longer than was configured, before its first byte and between two", async () => {
    const signer = await openKmsSigner(placeOf({ timeoutMs: 200 }), kms.arnOf(keyId));
    kms.misbehave = () => undefined;
    expect(await failureOf(signer.sign(data))).toEqual(UNAVAILABLE);
    kms.misbehave = (response) => response.write("{");
    expect(await failureOf(signer.sign(data))).toEqual(UNAVAILABLE);
  });
});

describe("credentials", () => {
  const write = (name: string, text: string, mode = 0o600) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };
  const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey } = KMS_CREDENTIALS;

  it("are read from the file that credential_process would print, when only its owner can", () => {
    const whole = { Version: 1, AccessKeyId, SecretAccessKey, SessionToken: KMS_CREDENTIALS.sessionToken };
    expect(readAwsCredentials(write("good", JSON.stringify(whole)))).toEqual(KMS_CREDENTIALS);
    const open = write("open", JSON.stringify(whole), 0o644);
    expect(() => readAwsCredentials(open)).toThrow(code("file_mode_too_open"));
    const bad = [
      JSON.stringify({ ...whole, Version: 2 }),
      JSON.stringify({ ...whole, SecretAccessKey: "a\nb" }),
      JSON.stringify({ Version: 1, AccessKeyId }),
      SecretAccessKey,
    ];
    for (const text of bad) {
      const read = () => readAwsCredentials(write("bad", text));
      expect(read).toThrow(INVALID);
      expect(read).not.toThrow(new RegExp(SecretAccessKey));
    }
    expect(() => readAwsCredentials(join(folder, "none"))).toThrow(INVALID);
  });

  it("come from AWS's variables otherwise, and are missed when they are missing", () => {
    const environment = { AWS_ACCESS_KEY_ID: AccessKeyId, AWS_SECRET_ACCESS_KEY: SecretAccessKey };
    expect(parseAwsCredentials(readAwsEnvironment(environment))).toEqual({
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
    });
    expect(() => parseAwsCredentials(readAwsEnvironment({}))).toThrow(INVALID);
  });
});

describe("the setting signer.root", () => {
  const root = { kind: "aws-kms", region: KMS_REGION, keyId: "alias/root" };
  const parse = (changed: object) =>
    parseConfig({
      dataDir: folder,
      configDir: folder,
      signer: { kind: "sealed", root: { ...root, ...changed } },
    });

  it("takes an endpoint with TLS, or on this machine, and no other", () => {
    for (const endpoint of ["https://vpce-1.kms.eu-central-1.vpce.amazonaws.com", "http://127.0.0.1:4566"]) {
      expect(parse({ endpoint }).signer.root).toMatchObject({ endpoint, timeoutMs: 10_000 });
    }
    for (const endpoint of [
      "http://10.0.0.1",
      "http://localhost:1",
      "https://a/b",
      "https://u@a",
      "http://127.0.0.1.a",
    ]) {
      expect(() => parse({ endpoint })).toThrow(INVALID);
    }
  });

  it("names a region, not a host", () => {
    for (const region of ["evil.example/", "a@b-1", ""]) expect(() => parse({ region })).toThrow(INVALID);
    expect(() => parse({ keyId: "a b" })).toThrow(INVALID);
    expect(() => parse({ kind: "gcp-kms" })).toThrow(INVALID);
  });
});
