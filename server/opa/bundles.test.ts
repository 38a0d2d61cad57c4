/** What a stock OPA is given while the server waits for two admins after a restore: a policy that allows nothing, and no custom one. */
import { gunzipSync } from "node:zlib";
import { parseTar } from "@trustwarden/core/agentscope/tar.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { expect, it } from "vitest";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../signer/software.ts";
import { createOpaBundles } from "./bundles.ts";

it("gives out a policy that denies and takes the custom one back while the server is held, and both again after it", () => {
  let isHeld = true;
  const bundles = createOpaBundles({
    policyDir: "policies",
    signer: createSoftwareSigner(createPrivateKeyPkcs8("ES256")),
    builtinVersion: "v1",
    custom: () => ({ bundle: new Uint8Array([1]), keyId: "release" }),
    isHeld: () => isHeld,
  });
  const textOf = (name: string, file: string) => {
    const files = parseTar(gunzipSync(bundles.find(name)?.bytes ?? new Uint8Array()));
    return parseUtf8(files.get(file) ?? new Uint8Array());
  };
  const rego = () => textOf("builtin.tar.gz", "trustwarden/decision.rego");
  const discovered = () => Object.keys(JSON.parse(textOf("discovery.tar.gz", "data.json")).discovery.bundles);
  const etag = () => bundles.find("builtin.tar.gz")?.etag;
  const before = etag();
  expect(rego()).toContain('"reasons": ["restore_held"]');
  expect([discovered(), bundles.find("custom.tar.gz")]).toEqual([["builtin"], undefined]);
  isHeld = false;
  expect(rego()).not.toContain("restore_held");
  expect(etag()).not.toBe(before);
  expect([discovered().toSorted(), bundles.find("custom.tar.gz")?.bytes]).toEqual([
    ["builtin", "custom"],
    new Uint8Array([1]),
  ]);
});
