/**
 * What a name says about its value, and which values only refer to a secret: shared by the readers of all forms of text.
 */
import { withoutRemark } from "../secret-input.ts";
import type { SecretRange } from "./known-forms.ts";
import { variableOf } from "./providers.ts";

/** A secret with the name that it stands under. */
export interface NamedRange extends SecretRange {
  readonly name: string;
}

/** Ends of a name that say what the value is; `MAX_TOKENS` and `TOKEN_LIMIT` are none. */
const SECRET_END =
  /(?:^|_)(?:API_?KEY|TOKEN|SECRET|SECRET_KEY|PASSWORD|PASSWD|PASSPHRASE|PWD|CREDENTIALS?|PRIVATE_KEY|ACCESS_KEY|AUTH_?KEY|AUTHORIZATION|COOKIE|PAT|DSN|PGPASSWORD)$/;
/** Names of things that hold a secret, and are none. */
const HOLDER = /(?:^|_)(?:EXISTING|PULL|USE|HAS|WITH|CREATE)_(?:SECRET|TOKEN|PASSWORD)$/;
/** A reference, a place to fill in, or a word that says how and not what. */
const NO_SECRET =
  /^(?:.{0,5}|\d+|\/.*|\.{0,2}\/.*|~.*|https?:\/\/[^@\s]*|(?:Bearer |Basic )?\$.*|.*\$\{[^${}]*\}.*|\{env:.*|<.*>|\[.*\]|.*\*{4}.*|[xX.\-_]+|(?:your|my|the|insert|replace)[-_ ].*|.*(?:placeholder|changeme|example|redacted).*|(?:null|none|true|false|undefined|disabled|enabled|required|optional|default|oauth2?|bearer|basic|api[-_]?key|token|password|keychain|system|secret|string|str|number|integer|boolean)|(?:op|vault|keyring|secret|ref\+[a-z0-9]+|aws-sm|gcp-sm):.*|.*\{\{.*|(?:Bearer |Basic )?(?:!|env[.:]|process\.env|os\.environ|os\.getenv|`).*|<%.*|held-by-the-gateway)$/i;

/** What people write who keep nothing behind it. */
const EVERYBODYS =
  /^(?:pass(?:word|wd)?|pwd|postgres|root|admin|guest|user(?:name)?|secret|test(?:ing)?|token|x-oauth-basic)$/i;

/** A longer value refers to nothing: the pattern would begin anew at each of its words. */
const MAX_REFERENCE_CHARS = 1024;

/** Whether a value is what a name of this kind would hide. */
export function isSecretUnder(name: string, value: string): boolean {
  const variable = variableOf(name);
  return SECRET_END.test(variable) && !HOLDER.test(variable) && !isReference(value);
}

/** Whether a value refers to a secret, or fills a place. */
export function isReference(value: string): boolean {
  return value.length <= MAX_REFERENCE_CHARS && (NO_SECRET.test(value) || isEverybodys(value));
}

/** Values of manuals, and addresses with a password that is none. */
export function isEverybodys(value: string): boolean {
  const [, user, password] = /^[a-z][a-z0-9+.-]{1,24}:\/\/([^:/@]{0,128}):([^@/]{0,512})@/.exec(value) ?? [];
  if (password === undefined) return /EXAMPLE(?:KEY)?$/.test(value);
  return password === user || EVERYBODYS.test(password);
}

/** The text between quotes, or up to a remark, and where it begins. */
export function unquoted(rest: string): { readonly text: string; readonly offset: number } {
  const quote = rest[0];
  if (quote === '"' || quote === "'") {
    const end = rest.indexOf(quote, 1);
    return { text: rest.slice(1, end === -1 ? undefined : end), offset: 1 };
  }
  return { text: withoutRemark(rest), offset: 0 };
}
