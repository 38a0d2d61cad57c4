/**
 * A symmetric key in AWS KMS that wraps other keys: made there by its operator, never leaving it.
 *
 * What a key is wrapped for goes along as a digest in the encryption context, which KMS authenticates and writes into its
 * log: nothing of ours stands there, and what was wrapped opens for nothing else. A key is named by its ARN, since an
 * alias can be moved to another.
 *
 * @see AWS KMS API, `DescribeKey`, `Encrypt` and `Decrypt`
 */
import { encodeBase64, encodeBase64url, parseBase64 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type JsonObject } from "@trustwarden/core/json.ts";
import { askKms, KMS_KEY_ARN, type KmsPlace } from "./aws-kms.ts";

/** A key and what it is bound to. */
interface KeyInContext {
  readonly key: Uint8Array;
  readonly context: Uint8Array;
}

/**
 * The ARN of the key that a name leads to.
 *
 * @throws TrustWardenError `signer_unavailable`, or `config_invalid` for a key that does not encrypt or is not in use.
 */
export async function findKmsWrappingKey(place: KmsPlace, keyId: string): Promise<string> {
  const { KeyMetadata: about } = await askKms(place, "DescribeKey", { KeyId: keyId });
  if (!isJsonObject(about)) throw unavailable("the answer describes no key");
  const { Arn: arn, KeySpec: spec, KeyUsage: usage, Enabled: isEnabled } = about;
  if (spec !== "SYMMETRIC_DEFAULT" || usage !== "ENCRYPT_DECRYPT" || isEnabled !== true) {
    throw new TrustWardenError("config_invalid", {
      setting: "secretKeys.awsKms.keyId",
      reason: "KMS's key is not a SYMMETRIC_DEFAULT key for ENCRYPT_DECRYPT that is enabled",
    });
  }
  if (typeof arn !== "string" || !KMS_KEY_ARN.test(arn)) throw unavailable("the answer names no key");
  return arn;
}

/** @throws TrustWardenError `signer_unavailable`. */
export async function wrapInKms(
  place: KmsPlace,
  arn: string,
  { key, context }: KeyInContext,
): Promise<Uint8Array> {
  const asked = { KeyId: arn, Plaintext: encodeBase64(key), EncryptionContext: contextOf(context) };
  return bytesOf(await askKms(place, "Encrypt", asked), arn, "CiphertextBlob");
}

/** @throws TrustWardenError `signer_unavailable`, `seal_broken` for another key or context. */
export async function unwrapInKms(
  place: KmsPlace,
  arn: string,
  { key, context }: KeyInContext,
): Promise<Uint8Array> {
  const asked = { KeyId: arn, CiphertextBlob: encodeBase64(key), EncryptionContext: contextOf(context) };
  try {
    return bytesOf(await askKms(place, "Decrypt", asked), arn, "Plaintext");
  } catch (error) {
    const isRefused =
      error instanceof TrustWardenError &&
      ["InvalidCiphertextException", "IncorrectKeyException"].includes(String(error.details.refusal));
    if (isRefused) throw new TrustWardenError("seal_broken", { custody: "aws-kms" }, { cause: error });
    throw error;
  }
}

function contextOf(context: Uint8Array): JsonObject {
  return { "trustwarden-context": encodeBase64url(sha256(context)) };
}

function bytesOf(answer: JsonObject, arn: string, name: "CiphertextBlob" | "Plaintext"): Uint8Array {
  const { KeyId: keyId, [name]: text } = answer;
  if (keyId !== arn) throw unavailable("the answer is about another key");
  if (typeof text !== "string") throw unavailable(`the answer has no ${name}`);
  try {
    return parseBase64(text);
  } catch {
    // The parser's message may quote what was unwrapped, so the cause stays here.
    throw unavailable(`the ${name} is malformed`);
  }
}

function unavailable(reason: string): TrustWardenError {
  return new TrustWardenError("signer_unavailable", { custody: "aws-kms", reason });
}
