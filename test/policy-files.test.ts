/** The policy as it is checked in: its files agree with each other, and nothing dangerous is allowed in them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parsePolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { describe, expect, it } from "vitest";
import { questions, withoutEachMember } from "../policies/agreement.ts";
import { mutantsOf } from "../policies/mutation.ts";
import { createBuiltinPolicy } from "../server/opa/builtin.ts";

const policies = join(import.meta.dirname, "../policies");
const read = (name: string): Buffer => readFileSync(join(policies, name));
const source = read("trustwarden/decision.rego").toString("utf8");

describe("the built-in policy", () => {
  it("is compiled from the source beside it", () => {
    const manifest = parseJsonObject(read("decision.json").toString("utf8"));
    expect(manifest.source_sha256).toBe(encodeHex(sha256(read("trustwarden/decision.rego"))));
    expect(manifest.wasm_sha256).toBe(encodeHex(sha256(read("decision.wasm"))));
    expect(manifest.entrypoints).toEqual(["trustwarden/decision/result"]);
  });

  it("gives reads class C, ordinary writes class B, and what cannot be undone class A", () => {
    const { classes } = parsePolicyData(parseJsonObject(read("trustwarden/data.json").toString("utf8")));
    const classesOf = (...verbs: readonly string[]): readonly unknown[] => [
      ...new Set(verbs.map((verb) => classes[verb])),
    ];
    expect(classesOf("read", "list", "get", "fetch", "search")).toEqual(["C"]);
    expect(classesOf("write", "post", "create", "update", "send", "call")).toEqual(["B"]);
    expect(classesOf("delete", "pay", "grant", "issue", "release")).toEqual(["A"]);
  });

  it("writes each reason to deny as the absence of a proof, since a missing field proves nothing", () => {
    const reasons = source.split("\n").filter((line) => line.startsWith("reasons contains "));
    expect(reasons.length).toBeGreaterThan(5);
    for (const line of reasons) expect(line).toMatch(/^reasons contains "[a-z_]+" if not [a-z_]+$/);
    expect(source).toContain("\ndefault allow := false\n");
  });

  it("denies a question with any member left out, though nobody checked it before", () => {
    const { engine } = createBuiltinPolicy(policies);
    const ask = (question: unknown): unknown => engine.evaluate(JSON.parse(JSON.stringify(question)));
    const allowed = questions().filter((question) => JSON.stringify(ask(question)).includes('"allow":true'));
    expect(allowed.length).toBeGreaterThan(20);
    // Different rules permit different questions and read different members, so every allowed question is taken apart.
    for (const question of allowed) {
      for (const incomplete of withoutEachMember(question)) {
        expect(ask(incomplete), JSON.stringify(incomplete)).toMatchObject({ allow: false });
      }
    }
  });
});

describe("the mutations that the policy's tests have to notice", () => {
  it("remove and invert every rule", () => {
    const heads = source.split("\n").filter((line) => /^(?:default |[a-z_]+ (?:if|contains|:=))/.test(line));
    const mutants = mutantsOf(source);
    expect(heads.length).toBeGreaterThan(25);
    expect(mutants.filter(({ name }) => name.startsWith("rule removed"))).toHaveLength(heads.length);
    expect(mutants.filter(({ name }) => name.startsWith("rule inverted"))).toHaveLength(heads.length);
    expect(mutants.filter(({ name }) => name.startsWith("line removed")).length).toBeGreaterThan(40);
    expect(mutants.filter(({ name }) => name.startsWith("set member removed")).length).toBeGreaterThan(25);
    for (const mutant of mutants) expect(mutant.source, mutant.name).not.toBe(source);
  });
});

describe("the capabilities that policies are compiled with", () => {
  const capabilities = parseJsonObject(read("capabilities.json").toString("utf8"));
  const builtins: readonly string[] = Array.isArray(capabilities.builtins)
    ? capabilities.builtins.map((builtin: unknown) =>
        typeof builtin === "object" && builtin !== null && "name" in builtin ? String(builtin.name) : "",
      )
    : [];

  it("name pure, bounded functions and nothing that reaches out, waits, or differs from run to run", () => {
    expect(builtins.length).toBeGreaterThan(50);
    const dangerous =
      /^(?:http|net|opa|time|rand|uuid|io|crypto|providers|rego|graph|graphql|numbers|json|yaml|print|trace|walk)(?:\.|$)/;
    expect(builtins.filter((name) => dangerous.test(name))).toEqual([]);
  });

  it("allow no host", () => {
    expect(capabilities.allow_net).toEqual([]);
  });
});
