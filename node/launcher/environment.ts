/**
 * The environment of a launched process: what was there, less everything that looks like a secret.
 *
 * An agent holds no secret, so whatever opens a door elsewhere stays behind: by its name, by the shape of its value, and
 * by what it leads to (an SSH agent's socket signs for whoever reaches it). Values never leave this file; the report
 * names variables and reasons only. What it cannot know is a secret that looks like a word: the sandbox is for those.
 *
 * @see docs/guides/warden-run.md
 */

/** Part of a name, between underscores, that says what the value is. */
const SECRET_WORDS: ReadonlySet<string> = new Set([
  "APIKEY",
  "AUTH",
  "AUTHORIZATION",
  "COOKIE",
  "COOKIES",
  "CREDENTIAL",
  "CREDENTIALS",
  "CREDS",
  "DSN",
  "KEY",
  "KEYS",
  "PASS",
  "PASSPHRASE",
  "PASSWD",
  "PASSWORD",
  "PASSWORDS",
  "PAT",
  "PIN",
  "PRIVATE",
  "PWD",
  "SECRET",
  "SECRETS",
  "SESSION",
  "TICKET",
  "TOKEN",
  "TOKENS",
]);
/** Names that a word above would take although they open nothing; `PWD` is where the shell stands. */
const HARMLESS_NAMES: ReadonlySet<string> = new Set([
  "OLDPWD",
  "PWD",
  "XDG_SESSION_CLASS",
  "XDG_SESSION_TYPE",
]);
/** Names without such a word that lead to credentials all the same. */
const LEADING_NAMES: ReadonlySet<string> = new Set([
  "AWS_PROFILE",
  "AWS_SHARED_CREDENTIALS_FILE",
  "DBUS_SESSION_BUS_ADDRESS",
  "DOCKER_CONFIG",
  "DOCKER_HOST",
  "GNUPGHOME",
  "GPG_AGENT_INFO",
  "KUBECONFIG",
  "NETRC",
  "PGPASSFILE",
  "PGSERVICEFILE",
  "SSH_AGENT_PID",
  "SSH_AUTH_SOCK",
  "VAULT_ADDR",
]);
/** Ours: a launcher's own, which must not reach the child; the launcher sets the endpoint anew. */
const OWN_NAMES = /^(?:TRUSTWARDEN_|TW_|SPIFFE_ENDPOINT_SOCKET$)/;
/** How issuers begin their secrets, and forms that are secrets wherever they stand. */
const SECRET_SHAPES: readonly RegExp[] = [
  /(?:^|[^A-Za-z0-9])(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}/,
  /(?:^|[^A-Za-z0-9])gh[opsur]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}/,
  /xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}/,
  /(?:^|[^A-Z0-9])(?:AKIA|ASIA|AROA)[A-Z0-9]{16}(?:[^A-Z0-9]|$)/,
  /AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}/,
  /(?:^|[^A-Za-z0-9])(?:hf|npm|dop_v1|shpat|sq0atp)_[A-Za-z0-9]{16,}|pypi-[A-Za-z0-9_-]{16,}/,
  /hv[bsr]\.[A-Za-z0-9_-]{16,}|SG\.[A-Za-z0-9_-]{16,}/,
  /tw[gjr]?1\.[A-Za-z0-9_-]{16,}/,
  /eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\./,
  /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/,
  /:\/\/[^\s/:@]*:[^\s/@]+@/,
];
/** A run of this many characters of an encoding's alphabet may be a key; shorter ones are names and versions. */
const MIN_RANDOM_CHARS = 24;
const ENCODED_RUN = /[A-Za-z0-9+/_=-]{24,}/g;
/** Base64 has a slash in 64 characters, a path one in every few. */
const MIN_CHARS_A_SLASH = 8;
/** Bits a character: words stay below, 24 and more random characters of base64 above; hexadecimal digests have at most 4. */
const MIN_ENTROPY_BITS = 4.1;

/** Why a variable was left out. */
export type RemovalReason = "own" | "name" | "value";

/** What a launched process gets, and what it does not. */
export interface CleanEnvironment {
  readonly variables: Readonly<Record<string, string>>;
  /** By name; never a value. */
  readonly removed: readonly { readonly name: string; readonly reason: RemovalReason }[];
  /** Would have been removed, and were asked for by name. */
  readonly kept: readonly string[];
}

/**
 * A copy without secrets.
 *
 * @param options.keep - names to pass on whatever they hold; TrustWarden's own are never passed on.
 */
export function cleanEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  { keep }: { readonly keep: readonly string[] },
): CleanEnvironment {
  const variables: Record<string, string> = Object.create(null);
  const removed: { name: string; reason: RemovalReason }[] = [];
  const kept: string[] = [];
  for (const [name, value = ""] of Object.entries(environment)) {
    const reason = reasonToRemove(name, value);
    if (reason === undefined) variables[name] = value;
    else if (reason !== "own" && keep.includes(name)) {
      variables[name] = value;
      kept.push(name);
    } else removed.push({ name, reason });
  }
  return { variables, removed, kept };
}

function reasonToRemove(name: string, value: string): RemovalReason | undefined {
  if (OWN_NAMES.test(name)) return "own";
  if (HARMLESS_NAMES.has(name)) return undefined;
  if (LEADING_NAMES.has(name) || namesSecret(name)) return "name";
  return looksSecret(value) ? "value" : undefined;
}

function namesSecret(name: string): boolean {
  const upper = name.toUpperCase();
  if (/API_?KEY|ACCESS_?KEY|PASSWORD|SECRET/.test(upper)) return true;
  return upper.split(/[^A-Z0-9]+/).some((word) => SECRET_WORDS.has(word));
}

function looksSecret(value: string): boolean {
  if (SECRET_SHAPES.some((shape) => shape.test(value))) return true;
  return (value.match(ENCODED_RUN) ?? []).some(isRandom);
}

/** Digits, both cases and no rhythm: what a generator makes and nobody types. */
function isRandom(run: string): boolean {
  if (run.length < MIN_RANDOM_CHARS) return false;
  if (run.split("/").length - 1 > run.length / MIN_CHARS_A_SLASH) return false;
  if (!(/[0-9]/.test(run) && /[a-z]/.test(run) && /[A-Z]/.test(run))) return false;
  return entropyBits(run) >= MIN_ENTROPY_BITS;
}

/** Shannon entropy of the characters, bits each. */
function entropyBits(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}
