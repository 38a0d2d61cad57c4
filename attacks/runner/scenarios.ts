/** Finds the scenarios: every file below a folder whose name is the letter of a stage. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Scenario } from "../scenario.ts";

const HERE = fileURLToPath(new URL("../", import.meta.url));
const STAGE = /^[a-z]$/;
const METHODS = ["prepare", "control", "attack", "evidence"];

/** All scenarios by stage and number. @throws Error for a file that holds none. */
export async function findScenarios(): Promise<readonly Scenario[]> {
  const files = readdirSync(HERE, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && STAGE.test(entry.name))
    .flatMap(({ name }) => readdirSync(join(HERE, name)).map((file) => ({ stage: name, file })));
  const scenarios = await Promise.all(files.map(load));
  return scenarios.sort((left, right) => left.id.localeCompare(right.id, "en", { numeric: true }));
}

async function load({ stage, file }: { readonly stage: string; readonly file: string }): Promise<Scenario> {
  const module: Readonly<Record<string, unknown>> = await import(pathToFileURL(join(HERE, stage, file)).href);
  const { scenario } = module;
  if (!isScenario(scenario)) throw new Error(`${stage}/${file} exports no scenario`);
  if (`${scenario.id.toLowerCase()}.ts` !== file)
    throw new Error(`${stage}/${file} is not named as ${scenario.id}`);
  return scenario;
}

function isScenario(value: unknown): value is Scenario {
  if (typeof value !== "object" || value === null) return false;
  const members = new Map<string, unknown>(Object.entries(value));
  return (
    typeof members.get("id") === "string" && METHODS.every((name) => typeof members.get(name) === "function")
  );
}
