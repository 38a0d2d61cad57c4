/** What `warden secret` reads of a person or a program: values, injections, places, and `.env` files. Pure but for files. */
import { readFileSync } from "node:fs";
import { upstreamList } from "@trustwarden/core/api/gateway.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Client } from "./client.ts";

/** Standard input. */
const STDIN = 0;
const HEADER = /^([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}): *(.*)$/;
const ENV_LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]{0,127})\s*=\s*(.*)$/;

/** Options that say how a secret goes onto a request. */
export interface InjectionOptions {
  readonly header?: string;
  readonly basic?: string;
  readonly query?: string;
}

/**
 * A value from a file, or from standard input for `-`: never from the command line, which every process of the
 * machine can read. One line end at the end belongs to the file, not to the value.
 *
 * @throws TrustWardenError `usage`.
 */
export function readValue(file: string): string {
  try {
    return parseUtf8(readFileSync(file === "-" ? STDIN : file)).replace(/\r?\n$/, "");
  } catch (cause) {
    throw new TrustWardenError("usage", { argument: "--value-file", reason: "cannot be read" }, { cause });
  }
}

/** The JSON of a file that says where tokens come from. @throws TrustWardenError `usage`, `json_malformed`. */
export function readSource(file: string): JsonObject {
  return parseJsonObject(readValue(file));
}

/** Whether a source's value is a client's secret; the server holds it against the rest. */
export function hasClientSecret({ client_auth: auth }: JsonObject): boolean {
  return auth === "secret_basic" || auth === "secret_post";
}

/** @throws TrustWardenError `usage` for more than one way, or a header without a name. */
export function parseInjection({ header, basic, query }: InjectionOptions): JsonObject | undefined {
  if ([header, basic, query].filter((way) => way !== undefined).length > 1)
    throw new TrustWardenError("usage", { reason: "one of --header, --basic and --query" });
  if (basic !== undefined) return { as: "basic", user: basic };
  if (query !== undefined) return { as: "query", name: query };
  if (header === undefined) return undefined;
  const [, name = "", template = ""] = HEADER.exec(header) ?? [];
  if (name === "") throw new TrustWardenError("usage", { argument: "--header", reason: "Name: value" });
  return { as: "header", name: name.toLowerCase(), template };
}

/**
 * Places as `name=https://origin`, or by the name of a registered upstream alone, which is asked for where it leads.
 *
 * @throws TrustWardenError `upstream_unknown`.
 */
export async function findUpstreams(
  client: Client,
  places: readonly string[],
): Promise<readonly JsonObject[]> {
  const isNamedOnly = places.some((place) => !place.includes("="));
  const { upstreams } = isNamedOnly ? await client.get("/v1/upstreams", upstreamList) : { upstreams: [] };
  return places.map((place) => {
    const [name = "", ...origin] = place.split("=");
    if (origin.length > 0) return { name, origin: origin.join("=") };
    const url = upstreams.find((upstream) => upstream.name === name)?.url;
    if (url === undefined) throw new TrustWardenError("upstream_unknown", { name });
    return { name, origin: originOf(url) };
  });
}

/** One assignment of an environment file. */
export interface EnvEntry {
  readonly variable: string;
  readonly value: string;
  readonly line: number;
}

/**
 * The assignments of an environment file: `NAME=value`, with or without `export` and quotes. Nothing is expanded and
 * nothing runs; a value that a shell would expand is taken as it stands.
 *
 * @throws TrustWardenError `usage` naming the line that is neither an assignment nor a comment; never its text.
 */
export function parseEnvFile(text: string): readonly EnvEntry[] {
  return text.split(/\r?\n/).flatMap((raw, index): readonly EnvEntry[] => {
    const line = index + 1;
    if (/^\s*(?:#.*)?$/.test(raw)) return [];
    const [, variable, rest] = ENV_LINE.exec(raw) ?? [];
    if (variable === undefined || rest === undefined)
      throw new TrustWardenError("usage", {
        argument: "--env-file",
        reason: `line ${line} is no assignment`,
      });
    return [{ variable, value: unquote(rest, line), line }];
  });
}

function unquote(text: string, line: number): string {
  const quote = text[0];
  if (quote !== '"' && quote !== "'") return withoutRemark(text);
  const end = quote === "'" ? text.indexOf("'", 1) : endOfDouble(text);
  if (end === -1 || !/^\s*(?:#.*)?$/.test(text.slice(end + 1)))
    throw new TrustWardenError("usage", { argument: "--env-file", reason: `line ${line} has an open quote` });
  const inner = text.slice(1, end);
  return quote === "'" ? inner : inner.replaceAll(/\\(["\\$`])/g, "$1");
}

/** An unquoted value up to the remark behind it. */
export function withoutRemark(text: string): string {
  // Two steps: one expression that eats the white space before the mark takes quadratic time on a long row of it.
  const remark = text.search(/\s#/);
  return (remark === -1 ? text : text.slice(0, remark)).trimEnd();
}

function endOfDouble(text: string): number {
  for (let index = 1; index < text.length; index += 1) {
    if (text[index] === "\\") index += 1;
    else if (text[index] === '"') return index;
  }
  return -1;
}

/** Variables that hold a credential by their name; the same words as `warden run` goes by. */
const SECRET_NAME =
  /(?:^|_)(?:API_?KEY|APIKEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|PWD|CREDENTIALS?|PRIVATE_?KEY|ACCESS_?KEY|AUTH|PAT|DSN)(?:_|$)/i;
/** Or by what it looks like: a known prefix, or long and random. */
const SECRET_VALUE =
  /^(?:sk-|sk_live_|sk_test_|rk_live_|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|AIza|ya29\.|eyJ[A-Za-z0-9_-]{8,}\.|npm_|pypi-|hf_|SG\.)/;
const RANDOM_VALUE = /^(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_-]{24,}$/;
/** A password in a URL. */
const URL_PASSWORD = /^[a-z][a-z0-9+.-]*:\/\/[^/\s:@]*:[^/\s@]+@/i;

/** Why an assignment looks like a secret; undefined for what does not. */
export function whySecret({ variable, value }: EnvEntry): string | undefined {
  if (value === "") return undefined;
  if (URL_PASSWORD.test(value)) return "a password in a URL";
  if (SECRET_VALUE.test(value)) return "the form of a known credential";
  if (SECRET_NAME.test(variable)) return "its name";
  return RANDOM_VALUE.test(value) ? "long and random" : undefined;
}

/** The name that a variable's secret gets. */
export function nameOfVariable(variable: string): string {
  return variable.toLowerCase().replace(/^_+/, "").replaceAll("_", "-").slice(0, 63) || "secret";
}
