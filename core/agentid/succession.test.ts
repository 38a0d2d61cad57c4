import { describe, expect, it } from "vitest";
import { formatCanonicalJson } from "../json.ts";
import type { Signer } from "../signer.ts";
import { createTestDomain } from "./certificate.test.support.ts";
import { draftSuccession, requireSuccession } from "./succession.ts";
import type { CaCertificate } from "./svid-profile.ts";
import { digestOfRoots } from "./trust-bundle.ts";

const [first, second, third] = [createTestDomain(), createTestDomain(), createTestDomain()];
const { trustDomain } = first;
const code = (name: string) => expect.objectContaining({ code: name });

function succession(options: {
  readonly sequence: number;
  readonly from: readonly CaCertificate[];
  readonly to: readonly CaCertificate[];
  readonly by: { readonly root: CaCertificate; readonly signers: { readonly root: Signer } };
}): string {
  const { sequence, from, by } = options;
  const to = digestOfRoots(options.to);
  const draft = draftSuccession({ trustDomain, sequence, from, to, signer: by.root });
  return draft.complete(by.signers.root.sign(draft.pae));
}

const grown = succession({ sequence: 2, from: [first.root], to: [first.root, second.root], by: first });
const shrunk = succession({ sequence: 5, from: [first.root, second.root], to: [second.root], by: second });
const pin = digestOfRoots([first.root]);
const target = digestOfRoots([second.root]);
const from = (texts: readonly string[], to = target) =>
  requireSuccession(texts, { trustDomain, pin, target: to });

describe("successions of roots", () => {
  it("lead from the pinned roots to those of today, in any order", () => {
    expect(() => from([shrunk, grown])).not.toThrow();
    expect(() => from([grown], digestOfRoots([first.root, second.root]))).not.toThrow();
    expect(() => from([], pin)).not.toThrow();
  });

  it("lead nowhere with a link missing, or to roots that nobody named", () => {
    const untrusted = code("svid_untrusted");
    for (const texts of [[], [grown], [shrunk]]) expect(() => from(texts)).toThrow(untrusted);
    expect(() => from([grown, shrunk], digestOfRoots([third.root]))).toThrow(untrusted);
  });

  it("are signed by one of the roots that they follow, and by no other", () => {
    const stranger = { root: third.root, signers: third.signers };
    const foreign = succession({ sequence: 2, from: [first.root], to: [third.root], by: stranger });
    expect(() => from([foreign], digestOfRoots([third.root]))).toThrow(code("svid_untrusted"));
    // Names the pinned root as signer, and is signed by another key.
    const forged = succession({
      sequence: 2,
      from: [first.root],
      to: [third.root],
      by: { root: first.root, signers: third.signers },
    });
    expect(() => from([forged], digestOfRoots([third.root]))).toThrow(code("signature_invalid"));
    const altered = JSON.parse(grown);
    const payload = JSON.parse(Buffer.from(altered.payload, "base64").toString());
    altered.payload = Buffer.from(formatCanonicalJson({ ...payload, to: target })).toString("base64");
    expect(() => from([formatCanonicalJson(altered)])).toThrow(code("signature_invalid"));
  });

  it("are of one trust domain", () => {
    const other = createTestDomain("other.test");
    const options = { trustDomain: other.trustDomain, pin, target };
    expect(() => requireSuccession([grown, shrunk], options)).toThrow(code("svid_untrusted"));
  });

  it("never run in a circle, and follow the latest where a set was come back to", () => {
    const back = succession({ sequence: 3, from: [first.root, second.root], to: [first.root], by: first });
    const again = succession({ sequence: 4, from: [first.root], to: [first.root, third.root], by: first });
    expect(() => from([grown, back], digestOfRoots([second.root]))).toThrow(code("svid_untrusted"));
    expect(() => from([grown, back, again], digestOfRoots([first.root, third.root]))).not.toThrow();
  });

  it("are bounded", () => {
    expect(() => from([...Array.from({ length: 30 }, () => grown), shrunk, grown])).not.toThrow();
    expect(() => from([...Array.from({ length: 31 }, () => grown), shrunk, grown])).toThrow(
      code("svid_untrusted"),
    );
  });
});
