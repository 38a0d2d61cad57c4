/**
 * Real `opa` on our policy engine: the same answers from the source as our Wasm gives, on every input of the policy's
 * own tests and on generated ones, well formed and not.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { answersOfOpa, questions, sorted } from "../policies/agreement.ts";
import { createBuiltinPolicy } from "../server/opa/builtin.ts";
import { requireOutput } from "./command.ts";
import type { Findings, Judge, Lab } from "./judge.ts";
import type { Random } from "./random.ts";
import { requireOpa } from "./tools.ts";

const GENERATED = 10_000;
const TIMEOUT_MS = 120_000;
const MARK = "policy-test-input:";

type Question = Readonly<Record<string, unknown>>;

/** What a careless or hostile caller could put where a member belongs. */
const JUNK: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  "",
  "A",
  "data",
  "__proto__",
  "\u0000",
  [],
  ["agt_1"],
  {},
  { fresh: true },
];
/** Policies that answer otherwise, so that an agreement about nothing would show: pattern in the source, and change. */
const MUTATIONS: readonly { readonly name: string; readonly pattern: RegExp; readonly change: string }[] = [
  { name: "allows by default", pattern: /default allow := false/, change: "default allow := true" },
  { name: "forgets stale views", pattern: /reasons contains "view_stale" if not view_holds/, change: "" },
  { name: "forgets scopes", pattern: /reasons contains "scope_not_covered" if not scope_holds/, change: "" },
];

const testReport = z.array(
  z.object({ name: z.string(), fail: z.boolean().optional(), output: z.string().optional() }),
);

export const policyJudge: Judge = { name: "opa eval 1.18.1", run: judgePolicy };

async function judgePolicy(lab: Lab): Promise<Findings> {
  const opa = await requireOpa(lab);
  const policies = join(lab.root, "policies");
  const tested = await collectTestInputs(opa, lab);
  const generated = Array.from({ length: GENERATED }, () => generate(lab.random));
  const asked = [...tested, ...generated];
  const { engine } = createBuiltinPolicy(policies);
  // Through JSON, since most of these are not of the engine's input type.
  const ours = asked.map((question) => sorted(engine.evaluate(JSON.parse(JSON.stringify(question)))));
  const theirs = listOf(answersOfOpa(opa, asked));
  const wrong = asked.flatMap((question, index) =>
    isDeepStrictEqual(ours[index], theirs[index])
      ? []
      : [`${JSON.stringify(question)}: ${JSON.stringify([ours[index], theirs[index]])}`],
  );
  const toothless = MUTATIONS.filter((mutation) =>
    isDeepStrictEqual(listOf(answersOfOpa(opa, asked, mutate(lab, mutation))), ours),
  );
  const allowed = ours.filter((answer) =>
    isDeepStrictEqual(answer, { ...Object(answer), allow: true }),
  ).length;
  return {
    accepted: asked.length - wrong.length,
    refused: MUTATIONS.length - toothless.length,
    wrong: [...wrong, ...toothless.map(({ name }) => `a policy that ${name} gave the same answers`)],
    note: `${tested.length} inputs of the policy's tests, ${GENERATED} generated, ${allowed} allowed`,
  };
}

/** Every input that a policy test asks about: its tests run on a copy of the policy that says what it is asked. */
async function collectTestInputs(opa: string, { root, scratch }: Lab): Promise<readonly Question[]> {
  const folder = join(scratch, "policy-tests");
  cpSync(join(root, "policies", "trustwarden"), folder, { recursive: true });
  const telling = `result := answer if print("${MARK}", json.marshal(input))`;
  replaceOnce(join(folder, "decision.rego"), /^result := \{$/m, `${telling}\n\nanswer := {`);
  const output = await requireOutput(opa, ["test", "--timeout", "60s", "--format", "json", folder], {
    timeoutMs: TIMEOUT_MS,
  });
  const texts = testReport
    .parse(JSON.parse(output))
    .flatMap((test) =>
      Buffer.from(test.output ?? "", "base64")
        .toString("utf8")
        .split("\n"),
    )
    .flatMap((line) => (line.includes(MARK) ? [line.slice(line.indexOf(MARK) + MARK.length)] : []));
  const inputs = [...new Set(texts)].map((text) => JSON.parse(text));
  if (inputs.length === 0) throw new Error("no policy test said what it asks");
  return inputs;
}

/** A copy of the policy with one change. */
function mutate({ root, scratch }: Lab, { pattern, change }: (typeof MUTATIONS)[number]): string {
  const folder = join(scratch, "policy-mutation");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const name of ["decision.rego", "data.json"]) {
    cpSync(join(root, "policies", "trustwarden", name), join(folder, name));
  }
  replaceOnce(join(folder, "decision.rego"), pattern, change);
  return folder;
}

function replaceOnce(file: string, pattern: RegExp, change: string): void {
  const text = readFileSync(file, "utf8");
  if (!pattern.test(text)) throw new Error(`the policy no longer has ${pattern}`);
  writeFileSync(file, text.replace(pattern, change));
}

/** A whole question, with none to three members, at any depth, left out or replaced. */
export function generate(random: Random): Question {
  let question: Question = random.pick(WHOLE);
  for (let changes = random.below(4); changes > 0; changes -= 1) question = spoil(question, random);
  return question;
}

const WHOLE = questions();

function spoil(question: Question, random: Random): Question {
  const keys = Object.keys(question);
  if (keys.length === 0) return question;
  const key = random.pick(keys);
  const { [key]: value, ...rest } = question;
  const isNested = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isNested && random.below(3) > 0) return { ...question, [key]: spoil({ ...value }, random) };
  return random.below(3) === 0 ? rest : { ...question, [key]: random.pick(JUNK) };
}

function listOf(answers: unknown): readonly unknown[] {
  if (!Array.isArray(answers)) throw new Error("opa did not answer with a list");
  return answers;
}
