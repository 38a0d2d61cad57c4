/**
 * Arguments of a call against the tool's pinned input schema, in bounded time.
 *
 * The schema is the upstream's and the arguments are the agent's: between them they choose a regular expression and the
 * text that makes it backtrack for years, or references that multiply (F21). So the validator interprets, never makes
 * code, never fetches a reference, and runs under a watchdog that ends it whatever it is doing.
 *
 * @see JSON Schema 2020-12; MCP 2026-07-28 "JSON Schema usage".
 */
import { isNativeError } from "node:util/types";
import { createContext, Script } from "node:vm";
import { type Schema, type SchemaDraft, Validator } from "@cfworker/json-schema";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";

/** Of the processor's time. An honest schema needs microseconds. */
const BUDGET_MS = 100;
/** For a schema whose patterns could backtrack: what an attacker gets of our time. */
const RISKY_BUDGET_MS = 8;
/** A run that was ended although the processor was with others most of the time says nothing, and is made again. */
const MAX_RUNS = 10;
const MICROSECONDS = 1000;
const MAX_SUBSCHEMAS = 4096;
/** A group that is repeated, or a reference back: where backtracking can explode. */
const RISKY_PATTERN = /\)[*+{?]|\\[1-9k]|\(\?[=!<]|[*+}][^|)]*[*+]/;
const DRAFTS: Readonly<Record<string, SchemaDraft>> = {
  "https://json-schema.org/draft/2020-12/schema": "2020-12",
  "https://json-schema.org/draft/2019-09/schema": "2019-09",
  "http://json-schema.org/draft-07/schema": "7",
};
const DEFAULT_DRAFT: SchemaDraft = "2020-12";

const turn: { run: () => void } = { run: () => undefined };
const CONTEXT = createContext(turn);
const RUN = new Script("run()");

interface Prepared {
  readonly validator: Validator;
  readonly budgetMs: number;
}

/**
 * A schema made ready.
 *
 * @throws TrustWardenError `mcp_not_approved` for a schema that is too large, of an unknown dialect, or that names
 *   something outside itself.
 */
export function prepareSchema(schema: JsonObject): Prepared {
  const facts = surveyOf(schema);
  if (facts.subschemas > MAX_SUBSCHEMAS) throw refused("schema too large");
  if (facts.isRemote) throw refused("remote reference");
  const dialect = typeof schema.$schema === "string" ? schema.$schema.replace(/#$/, "") : undefined;
  const draft = dialect === undefined ? DEFAULT_DRAFT : DRAFTS[dialect];
  if (draft === undefined) throw refused("dialect");
  const prepared = {
    validator: new Validator(schemaOf(schema), draft, true),
    budgetMs: facts.isRisky ? RISKY_BUDGET_MS : BUDGET_MS,
  };
  // The first run compiles; its answer does not matter, the next one must not pay for it.
  runGuarded(prepared.validator, {}, BUDGET_MS);
  return prepared;
}

/** @throws TrustWardenError `mcp_arguments_refused`. */
export function requireValid({ validator, budgetMs }: Prepared, value: JsonObject): void {
  const answer = runGuarded(validator, value, budgetMs);
  if (answer !== "valid")
    throw new TrustWardenError("mcp_arguments_refused", {
      reason: answer === "invalid" ? "schema" : "not checked in time",
    });
}

/** What the validator says, or that it did not come to an end; synchronous, so one place for its turn is enough. */
function runGuarded(
  validator: Validator,
  value: JsonObject,
  budgetMs: number,
): "valid" | "invalid" | "unended" {
  let isValid = false;
  turn.run = () => {
    isValid = validator.validate(value).valid;
  };
  const startedUs = spentUs();
  for (let run = 0; run < MAX_RUNS; run += 1) {
    try {
      RUN.runInContext(CONTEXT, { timeout: budgetMs });
      return isValid ? "valid" : "invalid";
    } catch (error) {
      // Safe: whatever stopped it (time, stack, an unresolved reference), it is not an answer, and that refuses.
      const wasSlow = spentUs() - startedUs >= (budgetMs / 2) * MICROSECONDS;
      if (!isTimeout(error) || wasSlow) return "unended";
    }
  }
  return "unended";
}

/** Time of the processor that this thread has had. */
function spentUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** The error is made in the other context, so it is no instance of our `Error`. */
function isTimeout(error: unknown): boolean {
  return isNativeError(error) && "code" in error && error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
}

interface Survey {
  subschemas: number;
  isRisky: boolean;
  isRemote: boolean;
}

function surveyOf(schema: Json): Survey {
  const survey: Survey = { subschemas: 0, isRisky: false, isRemote: false };
  visit(schema, survey);
  return survey;
}

/** Walks everything, also what only looks like a schema: too many is the safe mistake. */
function visit(value: Json, survey: Survey): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, survey);
    return;
  }
  if (!isJsonObject(value)) return;
  survey.subschemas += 1;
  for (const [key, member] of Object.entries(value)) {
    if (typeof member === "string") note(survey, key, member);
    // The keys of patternProperties are patterns, and any key may be one.
    if (RISKY_PATTERN.test(key)) survey.isRisky = true;
    visit(member, survey);
  }
}

function note(survey: Survey, key: string, text: string): void {
  if (key === "pattern" && RISKY_PATTERN.test(text)) survey.isRisky = true;
  // A reference inside that is followed for ever ends at the stack or at the watchdog.
  if ((key === "$ref" || key === "$dynamicRef") && !text.startsWith("#")) survey.isRemote = true;
}

/** The validator never writes to its schema, but its type does not say so: it gets a copy of its own. */
function schemaOf(schema: JsonObject): Schema {
  return structuredClone<Record<string, unknown>>({ ...schema });
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("mcp_not_approved", { reason });
}
