import { gzipSync } from "node:zlib";
import { formatManifest } from "@trustwarden/core/agentscope/policy-bundle.ts";
import { encodeTar } from "@trustwarden/core/agentscope/tar.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../test/support/expect-code.ts";
import { readCustomMaterial, readDraft } from "./custom.ts";

const wasm = encodeUtf8("a module");

function pack(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const manifest = formatManifest({ name: "payments", version: 1, roots: ["custom"] });
  return gzipSync(encodeTar(new Map([[".manifest", manifest], ...Object.entries(files)])));
}

describe("the code and data of a custom policy", () => {
  it("are read whole, however large the data is", () => {
    const data = encodeUtf8(JSON.stringify({ custom: "x".repeat(1_500_000) }));
    const bundle = pack({ "policy.wasm": wasm, "data.json": data });
    expect(readCustomMaterial(bundle).data).toEqual(data);
    expect(encodeUtf8(JSON.stringify(readDraft(bundle).data))).toEqual(data);
  });

  it("need no data", () => {
    expect(readCustomMaterial(pack({ "policy.wasm": wasm })).data).toEqual(encodeUtf8("{}"));
  });

  it("are refused without a module, and with data that is no JSON object", () => {
    for (const files of [{}, { "policy.wasm": wasm, "data.json": encodeUtf8("[]") }]) {
      expectCode(() => readDraft(pack(files)), "policy_bundle_malformed");
      expectCode(() => readCustomMaterial(pack(files)), "policy_bundle_malformed");
    }
  });
});
