/** Many signed documents of one submission, proven together. */
import {
  encodePaeHead,
  type PayloadName,
  parseUnverifiedPayload,
  payloadTypeOf,
  type UnverifiedEnvelope,
} from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { CertifiedKey } from "./signature-check.ts";
import type { SignatureChecks } from "./signature-checks.ts";

/** An envelope and the key that has to have signed it. */
interface Submitted {
  readonly envelope: UnverifiedEnvelope;
  readonly key: CertifiedKey;
}

/** What was signed. */
export interface ProvenPayload {
  readonly payload: JsonObject;
  /** Exact bytes under the signature. */
  readonly bytes: Uint8Array;
}

/**
 * The payloads of envelopes that are all signed as documents of the named type; nothing of any of them unless each is.
 *
 * @throws TrustWardenError `signature_invalid`; the JSON codes when a signed payload is not a canonical JSON object.
 */
export async function verifyEnvelopes(
  checks: SignatureChecks,
  {
    flow,
    name,
    submitted,
  }: { readonly flow: string; readonly name: PayloadName; readonly submitted: readonly Submitted[] },
): Promise<readonly ProvenPayload[]> {
  const type = payloadTypeOf(name);
  if (submitted.some(({ envelope }) => envelope.payloadType !== type)) {
    throw new TrustWardenError("signature_invalid", { reason: "payload type", expected: name });
  }
  const heads = new Map<number, Uint8Array>();
  const headOf = (bytes: number): Uint8Array => {
    const head = heads.get(bytes) ?? encodePaeHead(type, bytes);
    heads.set(bytes, head);
    return head;
  };
  await checks.check(
    flow,
    submitted.map(({ envelope: { payload, signature }, key: { certificate, spki } }) => ({
      certificate,
      spki,
      head: headOf(payload.length),
      payload,
      signature,
    })),
  );
  return submitted.map(({ envelope }) => ({
    payload: parseUnverifiedPayload(envelope),
    bytes: envelope.payload,
  }));
}
