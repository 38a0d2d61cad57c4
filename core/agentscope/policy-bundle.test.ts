/** Policy bundles: what a signature covers, and what is no archive of ours. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { encodeCanonicalJson, parseJsonObject } from "../json.ts";
import {
  formatBundleName,
  formatManifest,
  parseManifest,
  signBundle,
  verifyBundle,
} from "./policy-bundle.ts";
import { encodeTar, type Files, parseTar } from "./tar.ts";

const signer = createTestSigner();
const keys = new Map([["k1", signer.publicKey]]);
const scope = "trustwarden-custom";
const files: Files = new Map([
  [".manifest", formatManifest({ name: "payments", version: 3, roots: ["custom"] })],
  ["data.json", encodeUtf8('{ "b": [1, {"y": null, "x": "é"}], "a": true }')],
  ["custom/policy.rego", encodeUtf8("package custom\n")],
]);
const signed = signBundle(files, { signer, keyId: "k1", scope });

function codeOf(run: () => unknown): string {
  try {
    run();
    return "accepted";
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : String(error);
  }
}

const verify = (bundle: Files) => verifyBundle(bundle, { keys, scope });
const changed = (name: string, content: string | null): Files => {
  const copy = new Map(signed);
  if (content === null) copy.delete(name);
  else copy.set(name, encodeUtf8(content));
  return copy;
};
const withToken = (token: string) => changed(".signatures.json", JSON.stringify({ signatures: [token] }));
const tokenOf = (bundle: Files) =>
  String(
    /"([\w-]+\.[\w-]+\.[\w-]+)"/.exec(Buffer.from(bundle.get(".signatures.json") ?? "").toString())?.[1],
  );

describe("a signed bundle", () => {
  it("is proven with its name, version, key and data", () => {
    const bundle = verify(signed);
    expect(bundle).toMatchObject({ name: "payments", version: 3, roots: ["custom"], keyId: "k1" });
    expect(bundle.data).toEqual({ a: true, b: [1, { x: "é", y: null }] });
    expect(formatBundleName(bundle)).toBe("payments-v3");
  });

  it("may spell its data otherwise, and nothing else", () => {
    const spelled = '{"a":   true, "b":[1,{"x":"\\u00e9","y":null}]}';
    expect(codeOf(() => verify(changed("data.json", spelled)))).toBe("accepted");
    expect(codeOf(() => verify(changed("data.json", '{"a":false}')))).toBe("policy_bundle_untrusted");
    expect(codeOf(() => verify(changed("custom/policy.rego", "package custom")))).toBe(
      "policy_bundle_untrusted",
    );
    expect(codeOf(() => verify(changed("custom/policy.rego", null)))).toBe("policy_bundle_untrusted");
    expect(codeOf(() => verify(changed("more.rego", "package more")))).toBe("policy_bundle_untrusted");
  });

  it("is refused without a signature, with a stranger's, or for another use", () => {
    expect(codeOf(() => verify(changed(".signatures.json", null)))).toBe("policy_bundle_unsigned");
    expect(codeOf(() => verify(files))).toBe("policy_bundle_unsigned");
    const stranger = signBundle(files, { signer: createTestSigner(), keyId: "k1", scope });
    expect(codeOf(() => verify(stranger))).toBe("policy_bundle_untrusted");
    const unknown = signBundle(files, { signer, keyId: "k2", scope });
    expect(codeOf(() => verify(unknown))).toBe("policy_bundle_untrusted");
    const other = signBundle(files, { signer, keyId: "k1", scope: "trustwarden-builtin" });
    expect(codeOf(() => verify(other))).toBe("policy_bundle_untrusted");
  });

  it("is refused when the token chooses another algorithm, or is cut, doubled or no token", () => {
    const [head = "", body = "", signature = ""] = tokenOf(signed).split(".");
    for (const text of [`${signature}!`, `${signature.slice(0, -1)}_`, "="]) {
      expect(codeOf(() => verify(withToken(`${head}.${body}.${text}`)))).toBe("policy_bundle_malformed");
    }
    const none = encodeBase64url(encodeUtf8('{"alg":"none","kid":"k1"}'));
    expect(codeOf(() => verify(withToken(`${none}.${body}.`)))).toBe("policy_bundle_untrusted");
    const hmac = encodeBase64url(encodeUtf8('{"alg":"HS256","kid":"k1"}'));
    expect(codeOf(() => verify(withToken(`${hmac}.${body}.${signature}`)))).toBe("policy_bundle_untrusted");
    for (const token of ["", "a", "a.b.c", `${tokenOf(signed)}.x`]) {
      expect(codeOf(() => verify(withToken(token)))).toMatch(
        /^policy_bundle_(?:malformed|untrusted)$|^base64_/,
      );
    }
    const two = JSON.stringify({ signatures: [tokenOf(signed), tokenOf(signed)] });
    expect(codeOf(() => verify(changed(".signatures.json", two)))).toBe("policy_bundle_malformed");
  });

  it("has a manifest that names the policy and its version", () => {
    for (const ours of [
      {},
      { name: "X", version: 1 },
      { name: "x", version: 0 },
      { name: "x", version: 1.5 },
    ]) {
      const manifest = encodeCanonicalJson({ roots: ["custom"], metadata: { trustwarden: ours } });
      expect(codeOf(() => parseManifest(new Map([[".manifest", manifest]])))).toBe("policy_bundle_malformed");
    }
    expect(codeOf(() => parseManifest(new Map()))).toBe("policy_bundle_malformed");
    expect(parseJsonObject(Buffer.from(files.get(".manifest") ?? "").toString()).revision).toBe(
      "payments-v3",
    );
  });
});

describe("an archive", () => {
  it("comes back as it went in", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,20}(?:\/[a-z.][a-z0-9_-]{1,20}){0,2}$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.uint8Array({ maxLength: 2000 }))), (entries) => {
        const given = new Map(entries);
        const read = parseTar(encodeTar(given));
        expect([...read].map(([key, value]) => [key, [...value]])).toEqual(
          [...given].map(([key, value]) => [key, [...value]]),
        );
      }),
    );
  });

  it("is refused cut short, changed in its head, with a link, a climbing name or a name twice, and never crashes", () => {
    const archive = encodeTar(files);
    expect(codeOf(() => parseTar(archive.subarray(0, 700)))).toBe("policy_bundle_malformed");
    expect(codeOf(() => parseTar(new Uint8Array(0)))).toBe("policy_bundle_malformed");
    const edited = (at: number, text: string) => {
      const copy = archive.slice();
      copy.set(encodeUtf8(text), at);
      const head = copy.subarray(0, 512);
      head.fill(0x20, 148, 156);
      const sum = head.reduce((total, byte) => total + byte, 0);
      copy.set(encodeUtf8(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
      return copy;
    };
    expect(codeOf(() => parseTar(edited(156, "2")))).toBe("policy_bundle_malformed");
    expect(codeOf(() => parseTar(edited(0, "../x\0")))).toBe("policy_bundle_malformed");
    expect(codeOf(() => parseTar(edited(0, "data.json\0")))).toBe("policy_bundle_malformed");
    expect(codeOf(() => parseTar(edited(0, "other\0")))).toBe("accepted");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500 }), (bytes) => {
        expect(codeOf(() => parseTar(bytes))).toMatch(/^policy_bundle_malformed|request_malformed$/);
      }),
    );
  });
});
