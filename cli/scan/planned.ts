/** The words of a plan: what changes in a file, what goes to the broker, what stays and why. */
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { Finding } from "./finding.ts";
import type { JsonString } from "./json-strings.ts";
import { PLACEHOLDER } from "./named-values.ts";
import type { FileKind } from "./places.ts";
import { UNKNOWN_ADVICE } from "./providers.ts";

/** A stretch of a file and what takes its place. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
  /** Masked where it is a secret. */
  readonly before: string;
}

/** The upstream that a secret goes along to. */
export interface PlannedUpstream {
  readonly name: string;
  readonly kind: "openai" | "anthropic" | "mcp";
  readonly url: string;
  readonly settings: JsonObject;
}

/** One secret on its way to the broker. */
export interface Move {
  readonly finding: Finding;
  readonly upstream: PlannedUpstream;
  readonly injection: JsonObject;
  readonly edits: readonly Edit[];
}

/** A secret that stays where it is. */
export interface Left {
  readonly finding: Finding;
  readonly why: string;
}

/** What is planned for one finding. */
export type Planned = Move | Left;

/** What a plan is made from. */
export interface PlannedFile {
  readonly text: string;
  readonly kind: FileKind;
  readonly strings: readonly JsonString[];
  readonly findings: readonly Finding[];
  readonly mask: (value: string) => string;
}

/** A change of a secret's own stretch. */
export function replaceSecret({ start, end, value }: Finding, mask: (value: string) => string): Edit {
  return { start, end, replacement: PLACEHOLDER, before: mask(value) };
}

/** A name as the gateway's paths take it. */
export function upstreamNameOf(text: string): string {
  const plain = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 31)
    .replace(/-+$/, "");
  return plain === "" ? "upstream" : plain;
}

/** The variable in which `warden run` tells an upstream's address. */
export function addressVariableOf(name: string): string {
  return `${name.toUpperCase().replaceAll("-", "_")}_BASE_URL`;
}

/** Why a secret stays, in the words of who issued it. */
export function adviceFor({ provider }: Finding): string {
  return provider === undefined ? UNKNOWN_ADVICE : provider.advice;
}

/** An address without what may be a secret in it: user, path, parameters. */
export function shownAddress(address: string): string {
  return `${URL.parse(address)?.origin ?? "its address"}/\u{2026}`;
}
