/**
 * What agents are made of, as a file says it: digests, or files whose digest is taken anew at each issuance and renewal, so
 * that a changed prompt or tool ends the identity at its next renewal.
 *
 * Whoever may write the file or what it names can declare anything: it is the operator's word, never the agent's.
 *
 * @see docs/guides/workload-api.md, "What an agent is made of"
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Composition } from "@trustwarden/core/agentid/composition.ts";
import { encodeBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";

const MAX_FILE_CHARS = 262_144;
/** Prompts and tool lists; the digest of a model's weights is written down, not taken at each renewal. */
const MAX_MEASURED_BYTES = 16_777_216;
const MAX_AGENTS = 256;
const PARTS = ["model", "prompts", "skills", "tools"] as const;

/** A digest, or where to take it from. */
type Part = string | { readonly file: string };
type Parts = readonly (readonly [(typeof PARTS)[number], Part])[];

/** A composition as it is at the moment of the call. @throws TrustWardenError `config_invalid`. */
export type Measure = () => Composition;

/** The composition of one agent. @throws TrustWardenError `config_invalid`, also for a file in it that cannot be read. */
export function openCompositionFile(path: string): Measure {
  const measure = measureOf(parseParts(readObject(path), path));
  measure();
  return measure;
}

/** Compositions by `path/name` of an agent. @throws TrustWardenError `config_invalid`. */
export function openCompositionsFile(path: string): ReadonlyMap<string, Measure> {
  const entries = Object.entries(readObject(path));
  if (entries.length > MAX_AGENTS) throw invalid(path, "too many agents");
  return new Map(
    entries.map(([agent, declared]) => {
      if (!isJsonObject(declared)) throw invalid(path, agent);
      const measure = measureOf(parseParts(declared, path));
      measure();
      return [agent, measure];
    }),
  );
}

function measureOf(parts: Parts): Measure {
  return () =>
    Object.fromEntries(
      parts.map(([name, part]) => [name, typeof part === "string" ? part : digestOfFile(part.file)]),
    );
}

function digestOfFile(path: string): string {
  try {
    if (statSync(path).size > MAX_MEASURED_BYTES) throw invalid(path, "larger than 16 MiB");
    return encodeBase64url(sha256(readFileSync(path)));
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError("config_invalid", { setting: "composition", reason: path }, { cause });
  }
}

function readObject(path: string): JsonObject {
  let text: string;
  try {
    text = parseUtf8(readFileSync(path));
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting: "composition", reason: path }, { cause });
  }
  return parseJsonObject(text, MAX_FILE_CHARS);
}

function parseParts(declared: JsonObject, path: string): Parts {
  const fields = new Fields(declared, "config_invalid");
  const parts = PARTS.flatMap((name): Parts => {
    const part = declared[name];
    if (part === undefined) return [];
    if (!isJsonObject(part)) return [[name, fields.digest(name)]];
    const source = fields.object(name);
    const file = resolve(dirname(path), source.text("file"));
    source.end();
    return [[name, { file }]];
  });
  fields.end();
  if (parts.length === 0) throw invalid(path, "nothing is declared");
  return parts;
}

function invalid(path: string, reason: string): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting: "composition", path, reason });
}
