/**
 * Policies: whose word about a log counts. The keys of logs, the keys of witnesses, and which sets of witnesses make a
 * quorum.
 *
 * Only parsing and counting; `cosignature.ts` checks the signatures that are counted.
 *
 * @see C2SP tlog-policy
 */
import { encodeHex } from "../bytes.ts";
import { encodeSpki } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { requireOrigin } from "./checkpoint.ts";
import { ALGORITHM_COSIGNATURE, ALGORITHM_ED25519, type NoteKey, parseVkey } from "./signed-note.ts";

/** The specification asks for 32 logs, 32 witnesses and 32 groups at least. */
const MAX_DEFINITIONS = 128;
const MAX_POLICY_CHARS = 65_536;
/** The predefined quorum that no witness is needed for. */
const NONE = "none";
// biome-ignore lint/suspicious/noControlCharactersInRegex: of the controls, the specification allows tab and newline.
const FORBIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f]/;
const THRESHOLD = /^[1-9]\d{0,3}$/;

/** A log whose checkpoints count. */
export interface PolicyLog {
  readonly vkey: string;
  readonly key: NoteKey;
  readonly url: string | null;
}

/** A witness; `name` means something inside its policy only, the key's own name is what it signs under. */
export interface PolicyWitness {
  readonly name: string;
  readonly vkey: string;
  readonly key: NoteKey;
  /** Its submission prefix. */
  readonly url: string | null;
}

interface Group {
  readonly threshold: number;
  readonly members: readonly string[];
}

/** Whose word counts. */
export interface TlogPolicy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly groups: ReadonlyMap<string, Group>;
  /** Name of a witness or a group, or `none`. */
  readonly quorum: string;
}

/**
 * The policy of a text.
 *
 * @throws TrustWardenError `witness_policy_malformed` with the line.
 */
export function parseTlogPolicy(text: string): TlogPolicy {
  if (text.length > MAX_POLICY_CHARS || FORBIDDEN.test(text)) throw malformed("size or control character", 0);
  const reader = new PolicyReader();
  for (const [index, line] of text.split("\n").entries()) {
    const items = line.split(/[ \t]+/).filter((item) => item !== "");
    if (items.length > 0 && !line.trimStart().startsWith("#")) reader.read(items, index + 1);
  }
  return reader.finish();
}

/** Whether a set of witnesses, by their names in the policy, is enough. */
export function isQuorum({ groups, quorum }: TlogPolicy, witnesses: ReadonlySet<string>): boolean {
  // A group names only what stands before it, so one pass in their order settles them all.
  const settled = new Set(witnesses);
  for (const [name, { threshold, members }] of groups) {
    if (members.filter((member) => settled.has(member)).length >= threshold) settled.add(name);
  }
  return quorum === NONE || settled.has(quorum);
}

/** Whether the policy asks for any witness at all; without one, nothing under it is witnessed. */
export function needsWitnesses({ quorum }: TlogPolicy): boolean {
  return quorum !== NONE;
}

/** Takes the lines of one policy, in their order. */
class PolicyReader {
  readonly #logs: PolicyLog[] = [];
  readonly #witnesses: PolicyWitness[] = [];
  readonly #groups = new Map<string, Group>();
  readonly #names = new Set<string>();
  /** A key is one party, under however many names. */
  readonly #keys = new Set<string>();
  /** Each name counts in one way only, or one witness could make a quorum by itself. */
  readonly #members = new Set<string>();
  #quorum: string | undefined;

  read([keyword = "", ...items]: readonly string[], line: number): void {
    if (this.#names.size + this.#logs.length >= MAX_DEFINITIONS) throw malformed("too many lines", line);
    if (keyword === "log") this.#readLog(items, line);
    else if (keyword === "witness") this.#readWitness(items, line);
    else if (keyword === "group") this.#readGroup(items, line);
    else if (keyword === "quorum") this.#readQuorum(items, line);
    else throw malformed("keyword", line);
  }

  finish(): TlogPolicy {
    if (this.#quorum === undefined) throw malformed("no quorum", 0);
    return {
      logs: this.#logs,
      witnesses: this.#witnesses,
      groups: this.#groups,
      quorum: this.#quorum,
    };
  }

  #readLog([vkey, url, ...rest]: readonly string[], line: number): void {
    if (vkey === undefined || rest.length > 0) throw malformed("log", line);
    const key = this.#parseKey(vkey, ALGORITHM_ED25519, line);
    this.#logs.push({ vkey, key, url: parseUrl(url, line) });
  }

  #readWitness([name, vkey, url, ...rest]: readonly string[], line: number): void {
    if (name === undefined || vkey === undefined || rest.length > 0) throw malformed("witness", line);
    this.#define(name, line);
    const key = this.#parseKey(vkey, ALGORITHM_COSIGNATURE, line);
    this.#witnesses.push({ name, vkey, key, url: parseUrl(url, line) });
  }

  #readGroup([name, threshold, ...members]: readonly string[], line: number): void {
    if (name === undefined || threshold === undefined || members.length === 0) throw malformed("group", line);
    for (const member of members) {
      if (!this.#names.has(member)) throw malformed("member that is not defined before", line);
      if (this.#members.has(member)) throw malformed("member of two groups", line);
      this.#members.add(member);
    }
    this.#define(name, line);
    this.#groups.set(name, { threshold: parseThreshold(threshold, members.length, line), members });
  }

  #readQuorum([name, ...rest]: readonly string[], line: number): void {
    if (name === undefined || rest.length > 0 || this.#quorum !== undefined) throw malformed("quorum", line);
    if (name !== NONE && !this.#names.has(name)) throw malformed("quorum that is not defined before", line);
    this.#quorum = name;
  }

  #define(name: string, line: number): void {
    if (name === NONE || this.#names.has(name)) throw malformed("name", line);
    this.#names.add(name);
  }

  #parseKey(vkey: string, algorithm: number, line: number): NoteKey {
    const key = parsePolicyVkey(vkey, line);
    const identity = encodeHex(encodeSpki(key.publicKey));
    if (key.algorithm !== algorithm) throw malformed("vkey of another kind", line);
    if (this.#keys.has(identity)) throw malformed("key that stands there already", line);
    this.#keys.add(identity);
    return key;
  }
}

function parsePolicyVkey(vkey: string, line: number): NoteKey {
  try {
    const key = parseVkey(vkey);
    if (key.algorithm === ALGORITHM_ED25519) requireOrigin(key.name);
    return key;
  } catch (cause) {
    throw new TrustWardenError("witness_policy_malformed", { reason: "vkey", line }, { cause });
  }
}

function parseThreshold(text: string, count: number, line: number): number {
  if (text === "any") return 1;
  if (text === "all") return count;
  const threshold = Number(text);
  if (!THRESHOLD.test(text) || threshold > count) throw malformed("threshold", line);
  return threshold;
}

/** An http(s) prefix without anything that could be mistaken for a part of the path; no trailing slash. */
function parseUrl(text: string | undefined, line: number): string | null {
  if (text === undefined) return null;
  const url = URL.parse(text);
  const isPlain =
    url !== null && url.search === "" && url.hash === "" && url.username === "" && url.password === "";
  if (!isPlain || (url.protocol !== "https:" && url.protocol !== "http:")) throw malformed("url", line);
  return url.href.replace(/\/+$/, "");
}

function malformed(reason: string, line: number): TrustWardenError {
  return new TrustWardenError("witness_policy_malformed", { reason, line });
}
