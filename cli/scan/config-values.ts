/**
 * Secrets by their names in configurations of tools that agents reach: TOML and INI, YAML with Compose's and Kubernetes' own
 * ways to name a value, `.netrc`, and the code of notebooks.
 *
 * Read line by line and never as a whole: a file that is no valid YAML or TOML keeps its secrets all the same. What stands on several lines is
 * found by its form, as private keys are, or not at all.
 */
import { readJsonStrings } from "./json-strings.ts";
import { isReference, isSecretUnder, type NamedRange, unquoted } from "./secret-names.ts";

const INI_PAIR =
  /(?:^|[{,])[ \t]*("[^"\n]{1,256}"|'[^'\n]{1,256}'|[^\s=#;{},"'[]{1,256})[ \t]*=[ \t]*("[^"\n]*"|'[^'\n]*'|(?![ \t]*[{[])[^\n,}]*)/gm;
const YAML_PAIR =
  /^[ \t]*(?:-[ \t]+)?("[^"\n]{1,128}"|'[^'\n]{1,128}'|[A-Za-z_.][\w./-]{0,127})[ \t]*:[ \t]+(\S[^\n]*)$/gm;
/** Compose's list of variables: `- NAME=value`, in quotes or not. */
const YAML_VARIABLE = /^[ \t]*-[ \t]+["']?([A-Za-z_][A-Za-z0-9_]{0,127})=([^\n"']*)/gm;
/** The environment of a pod: a name, and the value in the next line. */
const YAML_NAMED =
  /^[ \t]*-[ \t]+name:[ \t]*["']?([A-Za-z_][A-Za-z0-9_]{0,127})["']?[ \t]*\r?\n[ \t]+value:[ \t]+(\S[^\n]*)$/gm;
const NETRC = /(?:^|\s)(password)\s+(\S{1,4096})/g;
/** In a string of JSON a quote of the code has a backslash before it. */
const CODE =
  /(?<![A-Za-z0-9_-])([A-Za-z_][A-Za-z0-9_-]{1,127})(?:\\?["'])?\]?[ \t]*[=:][ \t]*(\\?["'][^"'\\\n]{8,1024})/g;
const MAGIC =
  /^[ \t]*[%!](?:env|set_env|export)[ \t]+([A-Za-z_][A-Za-z0-9_]{1,127})[ \t]*=[ \t]*([^\s\\]{8,1024})/gm;
/** Words of code are shorter than keys, or have no digit: `token = "cl100k_base"`. */
const MIN_CODE_CHARS = 12;
/** Members of a Kubernetes secret that say where and who, and not what. */
const NOT_HIDDEN = /^(?:user(?:name)?|host(?:name)?|port|database|db_?name|namespace|type|(?:tls|ca)\.crt)$/i;

/** TOML, INI, and what tools write like them: `.npmrc`, pip's and git's configuration. */
export function findInConfiguration(text: string): readonly NamedRange[] {
  return pairs(text, INI_PAIR);
}

/** YAML; all values of a Kubernetes secret, whatever they are called. */
export function findInYaml(text: string): readonly NamedRange[] {
  const named = [...pairs(text, YAML_PAIR), ...pairs(text, YAML_VARIABLE), ...pairs(text, YAML_NAMED)];
  // A key of several words is prose, and a block's value begins below.
  return [...named.filter(({ start, end }) => !/\s/.test(text.slice(start, end))), ...ofKubernetes(text)];
}

/** Passwords of machines, for `curl`, git and others. */
export function findInNetrc(text: string): readonly NamedRange[] {
  return pairs(text, NETRC);
}

/** The code of a notebook's cells, where keys are given to clients by name. */
export function findInNotebook(text: string): readonly NamedRange[] {
  const code = readJsonStrings(text).strings.filter(({ path }) => path.includes("source"));
  return code.flatMap(({ raw, start: offset }) =>
    [
      ...pairs(raw, CODE).filter((range) => isRandom(raw.slice(range.start, range.end))),
      ...pairs(raw, MAGIC),
    ].map((range) => ({ ...range, start: offset + range.start, end: offset + range.end })),
  );
}

function isRandom(value: string): boolean {
  return value.length >= MIN_CODE_CHARS && /\d/.test(value) && /[A-Za-z]/.test(value) && !/\s/.test(value);
}

function pairs(text: string, pattern: RegExp): readonly NamedRange[] {
  return [...text.matchAll(pattern)].flatMap((found): readonly NamedRange[] => {
    const [whole, quotedName = "", rest = ""] = found;
    const isEscaped = rest.startsWith("\\");
    const value = unquoted(isEscaped ? rest.slice(1) : rest);
    const offset = value.offset + (isEscaped ? 1 : 0);
    const name = quotedName.replace(/^["']|["']$/g, "");
    const start = found.index + whole.length - rest.length + offset;
    const range = { start, end: start + value.text.trimEnd().length, name, rule: "named/setting" };
    return isSecretUnder(name, value.text.trimEnd()) || isPair(name, value.text) ? [range] : [];
  });
}

/** npm's `_auth` and Docker's `auth`: a name and a password, in base64. */
export function isPair(name: string, value: string): boolean {
  if (!/^_?auth$/i.test(name.split(/[:/]/).at(-1) ?? "")) return false;
  return /^[A-Za-z0-9+/]{8,}={0,2}$/.test(value) && /^[\x20-\x7e]+:[\x20-\x7e]+$/.test(decoded(value));
}

function decoded(value: string): string {
  return Buffer.from(value, "base64").toString("latin1");
}

/** The members of `data` and `stringData` in each document that is a secret. */
function ofKubernetes(text: string): readonly NamedRange[] {
  const found: NamedRange[] = [];
  let at = 0;
  for (const document of text.split(/^(?=---[ \t]*$)/m)) {
    if (/^kind:[ \t]*["']?Secret["']?[ \t]*$/m.test(document)) found.push(...membersOf(document, at));
    at += document.length;
  }
  return found;
}

function membersOf(document: string, offset: number): readonly NamedRange[] {
  const found: NamedRange[] = [];
  let block: string | undefined;
  let at = offset;
  for (const line of document.split("\n")) {
    const [, head] = /^([A-Za-z]\w*):/.exec(line) ?? [];
    if (head !== undefined) block = head;
    const [, name = "", rest = ""] = /^[ \t]+["']?([\w.-]{1,253})["']?:[ \t]+(\S.*)$/.exec(line) ?? [];
    const value = unquoted(rest.trimEnd());
    const shown = block === "data" ? decoded(value.text) : value.text;
    const isHidden = (block === "data" || block === "stringData") && !NOT_HIDDEN.test(name);
    if (
      isHidden &&
      name !== "" &&
      !/^[|>]/.test(rest) &&
      !isReference(value.text) &&
      !isReference(shown.trim())
    ) {
      const start = at + line.length - rest.length + value.offset;
      found.push({ start, end: start + value.text.length, name, rule: "named/kubernetes" });
    }
    at += line.length + 1;
  }
  return found;
}
