/**
 * Secrets by the name that they stand under: assignments of environment files, shells and processes, members of an agent's
 * configuration, parameters of URLs, arguments of commands.
 *
 * What only refers to a secret (`${NAME}`, a path, our own placeholder) is none.
 */
import { whySecret } from "../secret-input.ts";
import { findInConfiguration, findInNetrc, findInNotebook, findInYaml, isPair } from "./config-values.ts";
import { type JsonString, readJsonStrings } from "./json-strings.ts";
import { isReference, isSecretUnder, type NamedRange, unquoted } from "./secret-names.ts";

/** What stands where a key stood; the launcher's proxy drops it. */
export const PLACEHOLDER = "held-by-the-gateway";

/** How a text names its values. */
export type TextForm = "environment" | "shell" | "json" | "yaml" | "ini" | "netrc" | "notebook" | "text";

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]{0,127})[ \t]*=[ \t]*(.*)$/gm;
const INLINE_ASSIGNMENT =
  /(?:^|[\s;&|(])(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]{0,127})=("[^"\n]*"|'[^'\n]*'|[^\s;&|"']+)/g;
const AUTHORIZATION = /\b(?:Bearer|Basic|Token)[ \t]+([A-Za-z0-9._~+/=-]{16,4096})/gi;
const FLAG = /--?([A-Za-z][A-Za-z0-9-]{1,63})[ =]("[^"\n]*"|'[^'\n]*'|[^\s"']+)/g;
const PARAMETER = /[?&]([A-Za-z0-9_.-]{1,64})=([^&#\s"'<>]{8,4096})/g;
/** `curl -u user:password`, and tools whose `-p` is a password. */
const USER_OPTION = /(?:^|\s)(?:-u|--user)[ =]?["']?([^\s:"'$]{1,128}:[^\s"']{3,256})/gm;
const PASSWORD_OPTION =
  /\b(?:sshpass|mysql|mysqldump|mysqladmin|docker[ \t]+login|podman[ \t]+login|helm[ \t]+registry[ \t]+login)(?=[ \t])[^\n|;&]{0,512}?[ \t]-p[ \t]?["']?([^\s"'$-][^\s"']{5,255})/g;
/** Hosted MCP servers have keys as a segment of their address. */
const SEGMENT = /(?<=^https:\/\/[^/\s]{1,253}\/(?:[^?#\s]{0,512}\/)?)[A-Za-z0-9_-]{24,512}(?=[/?#]|$)/g;
/** Longer than any address; each place of it is looked at from its beginning. */
const MAX_ADDRESS_CHARS = 2048;
/** From letters to digits and back; words with a year have none. */
const MIN_CHANGES = 3;
/** No time, no address, no sentence. */
const OPAQUE = /^(?=.*[A-Za-z])[A-Za-z0-9._~+/=-]{20,8192}$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** The secrets that a text names. */
export function findNamed(text: string, form: TextForm): readonly NamedRange[] {
  switch (form) {
    case "text":
      return [];
    case "environment":
      return assignments(text);
    case "shell":
      return [
        ...inlineAssignments(text),
        ...flags(text),
        ...options(text),
        ...named(text, PARAMETER, "named/parameter"),
        ...authorizations(text, "Authorization"),
      ];
    case "yaml":
      return [...findInYaml(text), ...authorizations(text, "Authorization")];
    case "ini":
      return [...findInConfiguration(text), ...authorizations(text, "Authorization")];
    case "netrc":
      return findInNetrc(text);
    case "notebook":
      return [...findInNotebook(text), ...authorizations(text, "Authorization")];
    case "json":
      return readJsonStrings(text).strings.flatMap((string, index, all) => ofMember(string, all[index - 1]));
  }
}

function assignments(text: string): readonly NamedRange[] {
  return [...text.matchAll(ASSIGNMENT)].flatMap((found): readonly NamedRange[] => {
    const [whole, name = "", rest = ""] = found;
    const value = unquoted(rest);
    const start = found.index + whole.length - rest.length + value.offset;
    const range = { start, end: start + value.text.length, name };
    if (isReference(value.text) || isIdentifier(name, value.text)) return [];
    const isNamed = isSecretUnder(name, value.text);
    const why = isNamed ? "its name" : whySecret({ variable: "X", value: value.text, line: 0 });
    return why === undefined ? [] : [{ ...range, rule: isNamed ? "named/variable" : "form/variable" }];
  });
}

/** A UUID under a name that says what it is: `SESSION_ID`, `TEAM_UUID`. */
function isIdentifier(name: string, value: string): boolean {
  return /(?:^|_)(?:ID|UUID|GUID)$/i.test(name) && UUID.test(value);
}

function inlineAssignments(text: string): readonly NamedRange[] {
  return named(text, INLINE_ASSIGNMENT, "named/variable");
}

function flags(text: string): readonly NamedRange[] {
  return named(text, FLAG, "named/argument");
}

/** Passwords that commands are given by an option without a telling name. */
function options(text: string): readonly NamedRange[] {
  return [...text.matchAll(USER_OPTION), ...text.matchAll(PASSWORD_OPTION)].flatMap((found) => {
    const [whole, given = ""] = found;
    const [, password = given] = /^[^:]*:(.*)$/.exec(given) ?? [];
    const end = found.index + whole.length;
    if (isReference(password)) return [];
    return [{ start: end - password.length, end, name: "password", rule: "named/argument" }];
  });
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
  const [key] = isAddress(path) ? keysInAddress(raw) : [];
  if (key !== undefined) return [at({ ...key, name })];
  if (isSecretUnder(nameOf(path, before), raw) || isPair(name, raw) || isOfLogin(path, raw))
    return [{ start, end, name, rule: "named/member" }];
  return [];
}

/** The address of a server in a client's list of them. */
function isAddress(path: readonly string[]): boolean {
  return (
    /^(?:url|serverUrl|httpUrl)$/.test(path.at(-1) ?? "") &&
    path.some((key) => /^(?:mcpServers|servers)$/.test(key))
  );
}

/** What has letters of both kinds, or digits among letters, throughout: a word or an id has not. */
function keysInAddress(address: string): readonly NamedRange[] {
  return [...address.slice(0, MAX_ADDRESS_CHARS).matchAll(SEGMENT)]
    .filter(
      ([value]) =>
        !UUID.test(value) &&
        /\d/.test(value) &&
        /[A-Za-z]/.test(value) &&
        (value.match(/\d/g)?.length ?? 0) >= 3,
    )
    .map(({ index, 0: value }) => ({
      start: index,
      end: index + value.length,
      name: "url",
      rule: "named/address",
    }));
}

/**
 * What a login left: OpenClaw and OpenCode keep tokens under `access` and `refresh`, and keys under `key`, of a provider.
 * Elsewhere these are words, so only what looks drawn at random counts.
 */
function isOfLogin(path: readonly string[], value: string): boolean {
  const isPlace = path.length === 2 || (path.length === 3 && path[0] === "profiles");
  if (!isPlace || !/^(?:access|refresh|key)$/.test(path.at(-1) ?? "")) return false;
  const changes = value.match(/(?<=[A-Za-z])\d|(?<=\d)[A-Za-z]/g)?.length ?? 0;
  return OPAQUE.test(value) && !UUID.test(value) && changes >= MIN_CHANGES;
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
