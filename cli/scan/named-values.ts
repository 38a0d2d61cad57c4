/**
 * Secrets by the name that they stand under: assignments of environment files, shells and processes, members of an agent's
 * configuration, parameters of URLs, arguments of commands.
 *
 * What only refers to a secret (`${NAME}`, a path, our own placeholder) is none.
 */
import { whySecret, withoutRemark } from "../secret-input.ts";
import { type JsonString, readJsonStrings } from "./json-strings.ts";
import type { SecretRange } from "./known-forms.ts";
import { variableOf } from "./providers.ts";

/** What stands where a key stood; the launcher's proxy drops it. */
export const PLACEHOLDER = "held-by-the-gateway";

/** How a text names its values. */
export type TextForm = "environment" | "shell" | "json" | "text";

/** A secret with the name that it stands under. */
export interface NamedRange extends SecretRange {
  readonly name: string;
}

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]{0,127})[ \t]*=[ \t]*(.*)$/gm;
const INLINE_ASSIGNMENT =
  /(?:^|[\s;&|(])(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]{0,127})=("[^"\n]*"|'[^'\n]*'|[^\s;&|"']+)/g;
const AUTHORIZATION = /\b(?:Bearer|Basic|Token)[ \t]+([A-Za-z0-9._~+/=-]{16,4096})/gi;
const FLAG = /--?([A-Za-z][A-Za-z0-9-]{1,63})[ =]("[^"\n]*"|'[^'\n]*'|[^\s"']+)/g;
const PARAMETER = /[?&]([A-Za-z0-9_.-]{1,64})=([^&#\s"'<>]{8,4096})/g;
/** Ends of a name that say what the value is; `MAX_TOKENS` and `TOKEN_LIMIT` are none. */
const SECRET_END =
  /(?:^|_)(?:API_?KEY|TOKEN|SECRET|SECRET_KEY|PASSWORD|PASSWD|PASSPHRASE|PWD|CREDENTIALS?|PRIVATE_KEY|ACCESS_KEY|AUTH_?KEY|AUTHORIZATION|COOKIE|PAT|DSN)$/;
/** A reference, a place to fill in, or a word that says how and not what. */
const NO_SECRET =
  /^(?:.{0,5}|\d+|\/.*|\.{0,2}\/.*|~.*|https?:\/\/[^@\s]*|(?:Bearer |Basic )?\$.*|.*\$\{[^${}]*\}.*|\{env:.*|<.*>|\[.*\]|.*\*{4}.*|[xX.\-_]+|(?:your|my|the|insert|replace)[-_ ].*|.*(?:placeholder|changeme|example|redacted).*|(?:null|none|true|false|undefined|disabled|enabled|required|optional|default|oauth2?|bearer|basic|api[-_]?key|token|password|keychain|system|secret)|held-by-the-gateway)$/i;

/** A longer value refers to nothing: the pattern would begin anew at each of its words. */
const MAX_REFERENCE_CHARS = 1024;

/** The secrets that a text names. */
export function findNamed(text: string, form: TextForm): readonly NamedRange[] {
  switch (form) {
    case "text":
      return [];
    case "environment":
      return assignments(text);
    case "shell":
      return [...inlineAssignments(text), ...flags(text), ...authorizations(text, "Authorization")];
    case "json":
      return readJsonStrings(text).strings.flatMap((string, index, all) => ofMember(string, all[index - 1]));
  }
}

/** Whether a value is what a name of this kind would hide. */
function isSecretUnder(name: string, value: string): boolean {
  return SECRET_END.test(variableOf(name)) && !isReference(value);
}

function isReference(value: string): boolean {
  return value.length <= MAX_REFERENCE_CHARS && NO_SECRET.test(value);
}

function assignments(text: string): readonly NamedRange[] {
  return [...text.matchAll(ASSIGNMENT)].flatMap((found): readonly NamedRange[] => {
    const [whole, name = "", rest = ""] = found;
    const value = unquoted(rest);
    const start = found.index + whole.length - rest.length + value.offset;
    const range = { start, end: start + value.text.length, name };
    if (isReference(value.text)) return [];
    const isNamed = isSecretUnder(name, value.text);
    const why = isNamed ? "its name" : whySecret({ variable: "X", value: value.text, line: 0 });
    return why === undefined ? [] : [{ ...range, rule: isNamed ? "named/variable" : "form/variable" }];
  });
}

function inlineAssignments(text: string): readonly NamedRange[] {
  return named(text, INLINE_ASSIGNMENT, "named/variable");
}

function flags(text: string): readonly NamedRange[] {
  return named(text, FLAG, "named/argument");
}

/** Matches of a pattern whose first group is a name and whose last group is its value. */
function named(text: string, pattern: RegExp, rule: string): readonly NamedRange[] {
  return [...text.matchAll(pattern)].flatMap((found): readonly NamedRange[] => {
    const [whole, name = "", rest = ""] = found;
    const value = unquoted(rest);
    const start = found.index + whole.length - rest.length + value.offset;
    return isSecretUnder(name, value.text) ? [{ start, end: start + value.text.length, name, rule }] : [];
  });
}

function authorizations(text: string, name: string): readonly NamedRange[] {
  return [...text.matchAll(AUTHORIZATION)].flatMap((found): readonly NamedRange[] => {
    const [whole, value = ""] = found;
    const end = found.index + whole.length;
    return isReference(value) ? [] : [{ start: end - value.length, end, name, rule: "named/authorization" }];
  });
}

/** A member's value; in a list also the argument after a flag. */
function ofMember(
  { path, raw, start, end }: JsonString,
  before: JsonString | undefined,
): readonly NamedRange[] {
  const at = (range: NamedRange): NamedRange => ({
    ...range,
    start: start + range.start,
    end: start + range.end,
  });
  const name = path.at(-1) ?? "";
  const inner = [
    ...authorizations(raw, name),
    ...named(raw, PARAMETER, "named/parameter"),
    ...named(raw, FLAG, "named/argument"),
  ].map(at);
  if (inner.length > 0) return inner;
  if (isSecretUnder(nameOf(path, before), raw)) return [{ start, end, name, rule: "named/member" }];
  return [];
}

/** Items of a list are named by the flag before them; OpenClaw's profiles keep API keys under `key`. */
function nameOf(path: readonly string[], before: JsonString | undefined): string {
  const name = path.at(-1) ?? "";
  if (path[0] === "profiles" && name === "key") return "api_key";
  const isItem = /^\d+$/.test(name);
  const isFollowing =
    before !== undefined && before.path.slice(0, -1).join("\0") === path.slice(0, -1).join("\0");
  return isItem && isFollowing && /^--?[A-Za-z]/.test(before.raw) ? before.raw.replace(/^-+/, "") : name;
}

/** The text between quotes, or up to a remark, and where it begins. */
function unquoted(rest: string): { readonly text: string; readonly offset: number } {
  const quote = rest[0];
  if (quote === '"' || quote === "'") {
    const end = rest.indexOf(quote, 1);
    return { text: rest.slice(1, end === -1 ? undefined : end), offset: 1 };
  }
  return { text: withoutRemark(rest), offset: 0 };
}
