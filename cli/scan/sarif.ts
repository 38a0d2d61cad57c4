/**
 * A scan in the form that code hosts show beside the code.
 *
 * @see SARIF 2.1.0 (OASIS), §3.13 sarifLog, §3.27 result
 */
import type { Json } from "@trustwarden/core/json.ts";
import { CLI_VERSION } from "../version.ts";
import type { Finding } from "./finding.ts";
import { fingerprintOf, maskSecret } from "./masking.ts";
import { adviceFor } from "./planned.ts";
import { formatPlace } from "./report.ts";

const SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json";

/** One run with one result a finding; paths below the working directory are relative to it. */
export function formatSarif(
  findings: readonly Finding[],
  {
    salt,
    directory,
    isComplete,
  }: { readonly salt: Uint8Array; readonly directory: string; readonly isComplete: boolean },
): Json {
  const rules = [...new Set(findings.map(({ rule }) => rule))].toSorted();
  const driver = {
    name: "warden scan",
    version: CLI_VERSION,
    rules: rules.map((id) => ({ id, shortDescription: { text: `A secret in the clear (${id})` } })),
  };
  const results = findings.map((finding) => resultOf(finding, { salt, directory }));
  const invocations = [{ executionSuccessful: isComplete }];
  return { $schema: SCHEMA, version: "2.1.0", runs: [{ tool: { driver }, invocations, results }] };
}

function resultOf(
  finding: Finding,
  { salt, directory }: { readonly salt: Uint8Array; readonly directory: string },
): Json {
  const { place, line, column, rule, value } = finding;
  const text = `${maskSecret(value)} in the clear at ${formatPlace(place, line)}: ${adviceFor(finding)}`;
  const uri = uriOf(finding, directory);
  const region = place.kind === "file" ? { region: { startLine: line, startColumn: column } } : {};
  return {
    ruleId: rule,
    level: "error",
    message: { text },
    ...(uri === undefined
      ? {}
      : { locations: [{ physicalLocation: { artifactLocation: { uri }, ...region } }] }),
    partialFingerprints: { "trustwardenScan/v1": fingerprintOf(value, salt) },
  };
}

function uriOf({ place }: Finding, directory: string): string | undefined {
  if (place.kind === "process") return undefined;
  const prefix = directory.endsWith("/") ? directory : `${directory}/`;
  if (place.kind === "git" || !place.path.startsWith("/")) return encodeURI(place.path);
  return place.path.startsWith(prefix)
    ? encodeURI(place.path.slice(prefix.length))
    : `file://${encodeURI(place.path)}`;
}
