/** Signatures of S3's requests beside those that AWS publishes. */
import { expect, test } from "vitest";
import { signObjectRequest } from "./aws-signature.ts";

const CREDENTIALS = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const SCOPE = { region: "us-east-1", nowMs: Date.UTC(2013, 4, 24) };
const BUCKET = { method: "GET", host: "examplebucket.s3.amazonaws.com", body: new Uint8Array(0) } as const;

// Amazon S3 API, "Signature calculations for the Authorization header: examples".
test.each([
  [
    { path: "/test.txt", query: "", headers: { range: "bytes=0-9" } },
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  ],
  [
    { path: "/", query: "lifecycle=", headers: {} },
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  ],
  [
    { path: "/", query: "max-keys=2&prefix=J", headers: {} },
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  ],
])("a request to S3 is signed as AWS's example %#", (request, signature) => {
  const { authorization } = signObjectRequest({ ...BUCKET, ...request }, CREDENTIALS, SCOPE);
  expect(authorization?.split("Signature=")[1]).toBe(signature);
});

test("a body is signed by its digest, and temporary credentials by their token", () => {
  const request = { ...BUCKET, method: "PUT", path: "/a", query: "", headers: {} } as const;
  const put = (body: Uint8Array) =>
    signObjectRequest({ ...request, body }, { ...CREDENTIALS, sessionToken: "token" }, SCOPE);
  expect(put(Uint8Array.of(1)).authorization).not.toBe(put(Uint8Array.of(2)).authorization);
  expect(put(Uint8Array.of(1)).authorization).toContain(
    "x-amz-content-sha256;x-amz-date;x-amz-security-token",
  );
});
