/**
 * Proves that the checked-in Wasm answers every question as `opa` itself answers from the source: whole questions of
 * every principal, plane, class and action, and the same with one member left out. Run by `build.sh --check`.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { createBuiltinPolicy } from "../server/opa/builtin.ts";

const ACTIONS = [
  "read:transactions:2026/march",
  "write:reports",
  "delete:transactions",
  "read:secret",
  "unheard-of:thing",
  "issue:instance",
  "renew:svid",
  "revoke:instance",
  "narrow:instance",
  "read:ledger",
  "act:outcome",
  "hold:lease",
  "record:outcome",
  "create:owner",
  "stop:server",
];
const KINDS = ["agent", "enrollee", "owner", "person", "verifier", "operator"];
const ROLE_SETS = [[], ["admin"], ["auditor", "owner"], ["operator"], ["owner"], ["root"]];
const SUBJECTS = ["self", "descendant", "other", "none"];
const CLASSES = ["A", "B", "C"];
const LABELS = [[], ["private"], ["private", "untrusted"]];
const ENFORCEMENTS = ["service", "gateway", "self"];

type Question = Readonly<Record<string, unknown>>;

/** Every combination of principal, action, subject and plane, with the other members in turn. */
export function questions(): readonly Question[] {
  const whole = KINDS.flatMap((kind) =>
    ACTIONS.flatMap((action) =>
      SUBJECTS.flatMap((subject) => ["data", "control"].map((plane) => ({ kind, action, subject, plane }))),
    ),
  ).map((choice, turn) => questionOf(choice, turn));
  return [...whole, ...whole.slice(0, 1).flatMap((question) => withoutEachMember(question)), {}];
}

interface Choice {
  readonly kind: string;
  readonly action: string;
  readonly subject: string;
  readonly plane: string;
}

/** The question; members that are not chosen go round with `turn`, in cycles that have no common factor. */
function questionOf({ kind, action, subject, plane }: Choice, turn: number): Question {
  const [verb, type, path = ""] = action.split(":");
  const chain = ["agt_1", "agt_2"].slice(turn % 5 === 0 ? 2 : 0);
  return {
    action: { name: action, verb, type, path },
    resource: 'https://forum.test/posts/1?q="\\u00e9',
    class: CLASSES[Math.floor(turn / 2) % CLASSES.length],
    plane,
    subject,
    enforcement: ENFORCEMENTS[Math.floor(turn / 7) % ENFORCEMENTS.length],
    principal: {
      kind,
      id: "spiffe://acme.test/a/inst-1",
      class_id: "spiffe://acme.test/a",
      owner_id: "own_1",
      custody: "agent",
      roles: ROLE_SETS[turn % ROLE_SETS.length],
    },
    agent: { attested: { type: "none", strength: "none", selectors: [] }, composition_sha256: "" },
    chain,
    scope: { covered: turn % 4 !== 0, links: chain.length },
    view: { fresh: turn % 11 !== 0, epoch: turn },
    arguments: { table: "reports", rows: [turn, null, "\u00e9"] },
    labels: LABELS[turn % LABELS.length],
    outside: turn % 2 === 0,
    frozen: turn % 13 === 0,
    approved: turn % 3 === 0,
  };
}

/** The question without one member, or one member of a member; every one of them. */
export function withoutEachMember(question: Question): readonly Question[] {
  return Object.entries(question).flatMap(([key, value]) => {
    const { [key]: _, ...rest } = question;
    // The members of `arguments` are the caller's: none of them is demanded.
    const isNested =
      key !== "arguments" && typeof value === "object" && value !== null && !Array.isArray(value);
    return [
      rest,
      ...(isNested ? withoutEachMember({ ...value }).map((inner) => ({ ...question, [key]: inner })) : []),
    ];
  });
}

/** What `opa` answers to all of them, in order. @param policy - Folder of the policy's source and data. */
export function answersOfOpa(
  opa: string,
  asked: readonly Question[],
  policy = join(import.meta.dirname, "trustwarden"),
): unknown {
  const folder = mkdtempSync(join(tmpdir(), "agreement-"));
  try {
    const inputPath = join(folder, "input.json");
    writeFileSync(inputPath, JSON.stringify({ questions: asked }));
    const query =
      "[answer | some question in input.questions; answer := data.trustwarden.decision.result with input as question]";
    const output = execFileSync(
      opa,
      ["eval", "--bundle", policy, "--input", inputPath, "--format", "raw", query],
      {
        encoding: "utf8",
        maxBuffer: 64 * 1024 * 1024,
      },
    );
    return JSON.parse(output);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Reasons are a set: OPA sorts them, the Wasm does not. */
export function sorted(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null || !("reasons" in answer)) return answer;
  return { ...answer, reasons: Array.isArray(answer.reasons) ? answer.reasons.toSorted() : answer.reasons };
}

function main(): void {
  const asked = questions();
  const { engine } = createBuiltinPolicy(import.meta.dirname);
  // Through JSON, because questions with a member left out are what is asked and are not of the engine's input type.
  const ours = asked.map((question) => sorted(engine.evaluate(JSON.parse(JSON.stringify(question)))));
  const theirs = answersOfOpa(process.env.OPA_BIN ?? "opa", asked);
  const allowed = ours.filter(
    (answer) => typeof answer === "object" && answer !== null && "allow" in answer && answer.allow,
  );
  console.log(`agreement: ${asked.length} questions, ${allowed.length} allowed`);
  if (allowed.length === 0 || !isDeepStrictEqual(ours, theirs)) {
    console.error("agreement: the Wasm and opa do not give the same answers");
    process.exitCode = 1;
  }
}

if (import.meta.main) main();
