import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestSigner } from "../../test/support/keys.ts";
import { encodeSpki } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import {
  type AuthorityKind,
  type AuthorityState,
  activeSlotOf,
  bundleOfState,
  certificateOf,
  foundSlots,
  type NewSlot,
  newCertificateSlot,
  newTokenSlot,
  renewalsOfState,
  slotIdOf,
} from "./authority-slots.ts";
import { type AuthorityStep, applyStep, KEEP_SECONDS, PUBLISH_SECONDS } from "./authority-steps.ts";
import { createTestDomain, issueTestLeaf, NOW } from "./certificate.test.support.ts";
import { createSerial, issueIntermediate, issueRoot, parseCaCertificate } from "./svid-profile.ts";
import { verifyX509Svid } from "./x509-svid.ts";

const domain = createTestDomain();
const { trustDomain } = domain;
const code = (name: string) => expect.objectContaining({ code: name });
const ROOT_ID = slotIdOf(domain.root.spki);
const INTERMEDIATE_ID = slotIdOf(domain.intermediate.spki);

const place = { custody: "sealed", keyRef: null } as const;

function slotOf(kind: AuthorityKind, issuerId = ROOT_ID): NewSlot {
  const signer = createTestSigner();
  const spki = encodeSpki(signer.publicKey);
  const options = { trustDomain, serial: createSerial(randomBytes), now: NOW, notAfter: NOW + 86_400 };
  if (kind === "jwt" || kind === "wit") return newTokenSlot(kind, spki, place);
  if (kind === "root") {
    const root = parseCaCertificate(issueRoot({ ...options, signer }), trustDomain);
    return newCertificateSlot(root, { ...place, issuer: null });
  }
  const der = issueIntermediate({ ...options, spki, ca: domain.root, signer: domain.signers.root });
  const made = newCertificateSlot(parseCaCertificate(der, trustDomain), { ...place, issuer: domain.root });
  return { ...made, issuerId };
}

const first: AuthorityState = {
  sequence: 1,
  slots: foundSlots(
    [
      newCertificateSlot(domain.root, { ...place, issuer: null }),
      newCertificateSlot(domain.intermediate, { ...place, issuer: domain.root }),
      newTokenSlot("jwt", encodeSpki(domain.signers.jwt.publicKey), place),
    ],
    NOW,
  ),
};
const forced = { isForced: true } as const;
const planned = { isForced: false } as const;

function after(state: AuthorityState, steps: readonly AuthorityStep[], now = NOW): AuthorityState {
  return steps.reduce((at, step) => applyStep(at, step, now), state);
}

const stateOf = ({ slots }: AuthorityState, id: string) => slots.find((slot) => slot.id === id)?.state;

describe("a planned rotation", () => {
  it("publishes a JWT key when it is prepared, and activates it 15 minutes later, not a second before", () => {
    const slot = slotOf("jwt");
    const prepared = applyStep(first, { step: "prepare", slot }, NOW);
    expect(bundleOfState(prepared, trustDomain, NOW).jwtAuthorities.size).toBe(2);
    const activate = { step: "activate", kind: "jwt", ...planned } as const;
    expect(() => applyStep(prepared, activate, NOW + PUBLISH_SECONDS - 1)).toThrow(
      code("authority_not_published"),
    );
    const active = applyStep(prepared, activate, NOW + PUBLISH_SECONDS);
    expect(activeSlotOf(active, "jwt").id).toBe(slot.id);
    expect(bundleOfState(active, trustDomain, NOW).jwtAuthorities.size).toBe(2);
  });

  it("activates by force at once", () => {
    const prepared = applyStep(first, { step: "prepare", slot: slotOf("root") }, NOW);
    const active = applyStep(prepared, { step: "activate", kind: "root", ...forced }, NOW);
    expect(stateOf(active, ROOT_ID)).toBe("superseded");
  });

  it("activates an intermediate at once: it travels with each chain", () => {
    const slot = slotOf("intermediate");
    const active = after(first, [
      { step: "prepare", slot },
      { step: "activate", kind: "intermediate", ...planned },
    ]);
    expect(activeSlotOf(active, "intermediate").id).toBe(slot.id);
    expect(bundleOfState(active, trustDomain, NOW).x509Authorities).toHaveLength(1);
    expect(renewalsOfState(active, NOW)).toEqual([]);
  });

  it("retires a key when all that it signed has ended, not a second before, and takes it out of the bundle", () => {
    const old = activeSlotOf(first, "jwt").id;
    const active = after(first, [
      { step: "prepare", slot: slotOf("jwt") },
      { step: "activate", kind: "jwt", ...forced },
    ]);
    const retire = { step: "retire", id: old, ...planned } as const;
    expect(() => applyStep(active, retire, NOW + KEEP_SECONDS - 1)).toThrow(code("authority_in_use"));
    const retired = applyStep(active, retire, NOW + KEEP_SECONDS);
    expect(bundleOfState(retired, trustDomain, NOW).jwtAuthorities.size).toBe(1);
  });

  it("keeps one prepared key a kind, and refuses a key that was used before", () => {
    const slot = slotOf("jwt");
    const prepared = applyStep(first, { step: "prepare", slot }, NOW);
    expect(() => applyStep(prepared, { step: "prepare", slot: slotOf("jwt") }, NOW)).toThrow(
      code("authority_conflict"),
    );
    const active = applyStep(prepared, { step: "activate", kind: "jwt", ...forced }, NOW);
    expect(() => applyStep(active, { step: "prepare", slot }, NOW)).toThrow(code("authority_conflict"));
    expect(() => applyStep(first, { step: "activate", kind: "jwt", ...forced }, NOW)).toThrow(
      code("authority_conflict"),
    );
  });

  it("gives up a prepared key at once", () => {
    const slot = slotOf("jwt");
    const prepared = applyStep(first, { step: "prepare", slot }, NOW);
    const gone = applyStep(prepared, { step: "retire", id: slot.id, ...planned }, NOW);
    expect(bundleOfState(gone, trustDomain, NOW).jwtAuthorities.size).toBe(1);
  });

  it("certifies intermediates under the active root only", () => {
    const stranger = slotOf("intermediate", "0".repeat(40));
    expect(() => applyStep(first, { step: "prepare", slot: stranger }, NOW)).toThrow(
      code("authority_conflict"),
    );
    const rotated = after(first, [
      { step: "prepare", slot: slotOf("intermediate") },
      { step: "prepare", slot: slotOf("root") },
      { step: "activate", kind: "root", ...forced },
    ]);
    expect(() => applyStep(rotated, { step: "activate", kind: "intermediate", ...forced }, NOW)).toThrow(
      code("authority_conflict"),
    );
  });

  it("keeps a root while intermediates stand under it", () => {
    const rotated = after(first, [
      { step: "prepare", slot: slotOf("root") },
      { step: "activate", kind: "root", ...forced },
    ]);
    for (const step of ["retire", "revoke"] as const) {
      expect(() => applyStep(rotated, { step, id: ROOT_ID, ...forced }, NOW)).toThrow(
        code("authority_in_use"),
      );
    }
  });
});

describe("a compromised key", () => {
  const rotated = after(first, [
    { step: "prepare", slot: slotOf("intermediate") },
    { step: "activate", kind: "intermediate", ...forced },
  ]);

  it("is never the one that signs: it is rotated first", () => {
    for (const step of ["taint", "revoke", "retire"] as const) {
      expect(() => applyStep(first, { step, id: INTERMEDIATE_ID, ...forced }, NOW)).toThrow(
        code("authority_in_use"),
      );
    }
  });

  it("is tainted: its SVIDs are to be renewed and still verify", () => {
    const tainted = applyStep(rotated, { step: "taint", id: INTERMEDIATE_ID }, NOW);
    expect(renewalsOfState(tainted, NOW)).toEqual([INTERMEDIATE_ID]);
    const leaf = issueTestLeaf(domain);
    const bundles = new Map([[trustDomain, bundleOfState(tainted, trustDomain, NOW)]]);
    expect(verifyX509Svid([leaf.der, domain.intermediate.der], bundles, NOW).id).toBe(leaf.id);
    expect(() => applyStep(tainted, { step: "taint", id: INTERMEDIATE_ID }, NOW)).toThrow(
      code("authority_conflict"),
    );
  });

  it("is revoked: its SVIDs count no more, until its certificate would have ended anyway", () => {
    const revoked = applyStep(rotated, { step: "revoke", id: INTERMEDIATE_ID }, NOW);
    const bundle = bundleOfState(revoked, trustDomain, NOW);
    expect([...bundle.revokedAuthorities]).toEqual([INTERMEDIATE_ID]);
    const leaf = issueTestLeaf(domain);
    const chain = [leaf.der, domain.intermediate.der];
    expect(() => verifyX509Svid(chain, new Map([[trustDomain, bundle]]), NOW)).toThrow(
      code("authority_revoked"),
    );
    expect(bundleOfState(revoked, trustDomain, domain.intermediate.notAfter).revokedAuthorities.size).toBe(0);
    expect(() => applyStep(revoked, { step: "revoke", id: INTERMEDIATE_ID }, NOW)).toThrow(
      code("authority_conflict"),
    );
    expect(() => applyStep(revoked, { step: "revoke", id: "0".repeat(40) }, NOW)).toThrow(code("not_found"));
  });

  it("takes the intermediates under a revoked root along", () => {
    const slot = slotOf("root");
    const moved = after(rotated, [
      { step: "prepare", slot },
      { step: "activate", kind: "root", ...forced },
      { step: "prepare", slot: slotOf("intermediate", slot.id) },
      { step: "activate", kind: "intermediate", ...forced },
      { step: "revoke", id: ROOT_ID },
    ]);
    expect(stateOf(moved, ROOT_ID)).toBe("revoked");
    expect(stateOf(moved, INTERMEDIATE_ID)).toBe("revoked");
    expect(bundleOfState(moved, trustDomain, NOW).x509Authorities.map(({ ski }) => ski)).toEqual([
      parseCaCertificate(slot.certificate ?? new Uint8Array(), trustDomain).ski,
    ]);
  });
});

describe("any order of steps", () => {
  const kinds = ["root", "intermediate", "jwt"] as const;
  const command = fc.record({
    step: fc.constantFrom("prepare", "activate", "retire", "taint", "revoke"),
    kind: fc.constantFrom(...kinds),
    pick: fc.nat(8),
    isForced: fc.boolean(),
    afterSeconds: fc.nat(5000),
  });

  it("leaves one active key a kind, at most one prepared, and a sequence that rises with each step", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 24 }), (commands) => {
        let state = first;
        let now = NOW;
        for (const { step, kind, pick, isForced, afterSeconds } of commands) {
          now += afterSeconds;
          const id = state.slots[pick % state.slots.length]?.id ?? "";
          const slot = {
            ...slotOf("jwt"),
            kind,
            issuerId: kind === "intermediate" ? activeSlotOf(state, "root").id : null,
          };
          const steps = {
            prepare: { step: "prepare", slot },
            activate: { step: "activate", kind, isForced },
            retire: { step: "retire", id, isForced },
            taint: { step: "taint", id },
            revoke: { step: "revoke", id },
          } as const;
          const before = state;
          try {
            state = applyStep(state, steps[step], now);
          } catch (error) {
            if (!(error instanceof TrustWardenError)) throw error;
            continue;
          }
          expect(state.sequence).toBe(before.sequence + 1);
          for (const each of kinds) {
            const ofKind = state.slots.filter((candidate) => candidate.kind === each);
            expect(ofKind.filter((candidate) => candidate.state === "active")).toHaveLength(1);
            expect(ofKind.filter((candidate) => candidate.state === "prepared").length).toBeLessThan(2);
          }
          // What was taken back never comes back.
          for (const old of before.slots.filter((candidate) => candidate.state === "revoked"))
            expect(stateOf(state, old.id)).toBe("revoked");
          // The root of the intermediate that signs stays in the bundle.
          const issuer = activeSlotOf(state, "intermediate").issuerId ?? "";
          expect(["active", "superseded", "tainted"]).toContain(stateOf(state, issuer));
        }
      }),
      { numRuns: 150 },
    );
  });

  it("refuses a slot whose certificate is of another key", () => {
    const [root] = first.slots;
    if (root === undefined) throw new Error("no slots");
    expect(() => certificateOf({ ...root, id: "0".repeat(40) }, trustDomain)).toThrow(code("svid_untrusted"));
  });
});
