import { generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeBase64, encodeUtf8, parseUtf8 } from "./bytes.ts";
import { encodePae, issueEnvelope, parseEnvelope, parseUnverifiedPayload, verifyEnvelope } from "./dsse.ts";
import { TrustWardenError } from "./error.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "./json.ts";
import type { Signer } from "./signer.ts";

function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    publicKey,
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}

const signer = newSigner();
const payload: JsonObject = { v: 1, hello: "world" };
const refusal = (code: string) => expect.objectContaining({ code });

/** The envelope with some members replaced, still written canonically. */
function altered(envelope: string, change: (members: Record<string, unknown>) => void): string {
  const members: Record<string, unknown> = { ...parseJsonObject(envelope) };
  change(members);
  return formatCanonicalJson(JSON.parse(JSON.stringify(members)));
}

describe("DSSE envelopes", () => {
  it("37 encodes the pre-authentication bytes of the protocol's own example", () => {
    expect(parseUtf8(encodePae("http://example.com/HelloWorld", encodeUtf8("hello world")))).toBe(
      "DSSEv1 29 http://example.com/HelloWorld 11 hello world",
    );
  });

  it("counts bytes, not characters, in the pre-authentication bytes", () => {
    expect(parseUtf8(encodePae("é", encodeUtf8("€")))).toBe("DSSEv1 2 é 3 €");
  });

  it("gives back what was signed", () => {
    const envelope = parseEnvelope(issueEnvelope("control", payload, signer, "key-1"));
    expect(verifyEnvelope(envelope, "control", signer.publicKey)).toEqual(payload);
    expect(parseUnverifiedPayload(envelope)).toEqual(payload);
    expect(envelope.unverifiedKeyid).toBe("key-1");
  });

  it("refuses another key, another type and altered payload bytes", () => {
    const text = issueEnvelope("control", payload, signer, "key-1");
    const forged = altered(text, (members) => {
      members.payload = encodeBase64(encodeUtf8(formatCanonicalJson({ v: 1, hello: "mallory" })));
    });
    expect(() => verifyEnvelope(parseEnvelope(text), "control", newSigner().publicKey)).toThrow(
      refusal("signature_invalid"),
    );
    expect(() => verifyEnvelope(parseEnvelope(text), "grant", signer.publicKey)).toThrow(
      refusal("signature_invalid"),
    );
    expect(() => verifyEnvelope(parseEnvelope(forged), "control", signer.publicKey)).toThrow(
      refusal("signature_invalid"),
    );
  });

  it("37 refuses duplicate keys inside a signed payload", () => {
    const bytes = encodeUtf8('{"v":1,"v":2}');
    const payloadType = "application/vnd.trustwarden.control.v1+json";
    const sig = encodeBase64(signer.sign(encodePae(payloadType, bytes)));
    const text = formatCanonicalJson({
      payload: encodeBase64(bytes),
      payloadType,
      signatures: [{ keyid: "k", sig }],
    });
    expect(() => verifyEnvelope(parseEnvelope(text), "control", signer.publicKey)).toThrow(
      refusal("json_duplicate_key"),
    );
  });

  it.each<[string, (members: Record<string, unknown>) => void]>([
    [
      "an extra member",
      (members) => {
        members.more = 1;
      },
    ],
    [
      "no signature",
      (members) => {
        members.signatures = [];
      },
    ],
    [
      "two signatures",
      (members) => {
        members.signatures = [
          { keyid: "a", sig: "" },
          { keyid: "b", sig: "" },
        ];
      },
    ],
    [
      "a signature that is not an object",
      (members) => {
        members.signatures = [1];
      },
    ],
    [
      "a null signature",
      (members) => {
        members.signatures = [null];
      },
    ],
    [
      "a short signature",
      (members) => {
        members.signatures = [{ keyid: "k", sig: "AAAA" }];
      },
    ],
    [
      "an extra signature member",
      (members) => {
        members.signatures = [{ keyid: "k", sig: "AAAA", alg: "none" }];
      },
    ],
    [
      "a payload that is not text",
      (members) => {
        members.payload = 1;
      },
    ],
  ])("refuses %s", (_what, change) => {
    const text = altered(issueEnvelope("control", payload, signer, "k"), change);
    expect(() => parseEnvelope(text)).toThrow(refusal("dsse_malformed"));
  });

  it("refuses any other spelling of the same envelope", () => {
    const text = issueEnvelope("control", payload, signer, "k");
    expect(() => parseEnvelope(`${text} `)).toThrow(refusal("dsse_malformed"));
    expect(() => parseEnvelope(JSON.stringify(JSON.parse(text), null, 1))).toThrow(refusal("dsse_malformed"));
  });

  it("never throws anything but its own error, whatever the text", () => {
    const text = issueEnvelope("control", payload, signer, "k");
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), fc.string({ maxLength: 3 }), (at, put) => {
        try {
          verifyEnvelope(
            parseEnvelope(text.slice(0, at) + put + text.slice(at + 1)),
            "control",
            signer.publicKey,
          );
        } catch (error) {
          expect(error).toBeInstanceOf(TrustWardenError);
        }
      }),
    );
  });
});
