/**
 * Selectors: the verified facts about a workload, and the ones that a registration entry asks for.
 *
 * A selector is compared byte for byte, as a whole: nothing in it is decoded, folded or normalised, and there are no
 * wildcards. The text form is SPIRE's, `type:value`, where the value may hold further colons (`unix:uid:1000`). Who
 * verified the facts is the business of the attestors; nothing here proves anything.
 *
 * @see SPIRE, "Registration entries" for the text form; the rules about weak selectors are ours (docs/guides/attestation.md)
 */
import { TrustWardenError } from "../error.ts";

/** What a workload has in facts, or an entry in conditions, that anyone would call reasonable. */
const MAX_SELECTORS = 64;
/** UTF-16 code units of one `type:value`; SPIFFE paths, image names and workflow references fit. */
const MAX_SELECTOR_CHARS = 1024;
/** Controls, invisible format characters, line separators and halves of a character: two texts that look alike. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Every type there is; a selector of another type is malformed, so a misspelt one never becomes a condition. */
export const SELECTOR_TYPES = [
  "aws",
  "azure",
  "composition",
  "container",
  "gcp",
  "github",
  "k8s",
  "launcher",
  "node",
  "oidc",
  "systemd",
  "unix",
] as const;

/** Who vouches for a selector. */
export type SelectorType = (typeof SELECTOR_TYPES)[number];

/** One fact: who vouches for it, and what it says. */
export interface Selector {
  readonly type: SelectorType;
  /** Everything behind the first colon, such as `uid:1000`; never empty. */
  readonly value: string;
}

/** Keys that tie a program to somebody: whoever else runs the same program has other values. */
const PROCESS_ANCHORS: ReadonlySet<string> = new Set([
  "unix:uid",
  "unix:user",
  "unix:cgroup",
  "systemd:*",
  "container:*",
  "launcher:*",
]);

/**
 * Keys that say whose workload it is in a name space that the verified party cannot choose. Regions, images, branch
 * names, names of repositories and of pods are left out: anybody may have those.
 */
const NETWORK_ANCHORS: ReadonlySet<string> = new Set([
  "github:repository_id",
  "github:repository_owner_id",
  "oidc:*",
  "aws:account",
  "aws:role",
  "aws:role_id",
  "gcp:project_number",
  "gcp:instance_id",
  "gcp:service_account_id",
  "azure:tenant_id",
  "azure:principal_id",
  "azure:resource_id",
  "azure:subscription_id",
  "azure:vm_id",
]);

/** What a launcher says of a child that shares its uid with others: reported, and worth nothing alone. */
const SAME_UID = "same_uid";

/**
 * One selector of untrusted text.
 *
 * @throws TrustWardenError `selector_malformed`.
 */
export function parseSelector(text: string): Selector {
  if (text.length > MAX_SELECTOR_CHARS) throw malformed("too long");
  if (UNPRINTABLE.test(text)) throw malformed("not printable");
  const colon = text.indexOf(":");
  const type = SELECTOR_TYPES.find((known) => known === text.slice(0, Math.max(0, colon)));
  if (type === undefined) throw malformed("unknown type");
  const value = text.slice(colon + 1);
  if (value === "") throw malformed("empty value");
  return { type, value };
}

/** The text form, `type:value`. */
export function formatSelector({ type, value }: Selector): string {
  return `${type}:${value}`;
}

/**
 * The canonical set of untrusted texts: sorted by UTF-16 code units (as RFC 8785 sorts keys), each once; possibly empty.
 *
 * @throws TrustWardenError `selector_malformed`, also for more than 64.
 */
export function parseSelectors(texts: readonly string[]): readonly Selector[] {
  if (texts.length > MAX_SELECTORS) throw malformed("too many");
  return [...new Set(texts)].toSorted(byCodeUnits).map(parseSelector);
}

/** The text forms of a set in its canonical order, each once: what is stored, logged and shown. */
export function formatSelectors(selectors: readonly Selector[]): readonly string[] {
  return [...new Set(selectors.map(formatSelector))].toSorted(byCodeUnits);
}

/**
 * Whether a workload has everything that an entry asks for. An entry that asks for nothing matches nobody: it would
 * otherwise match everybody.
 */
export function matches(
  entrySelectors: readonly Selector[],
  workloadSelectors: readonly Selector[],
): boolean {
  const known = new Set(workloadSelectors.map(formatSelector));
  return entrySelectors.length > 0 && entrySelectors.every((selector) => known.has(formatSelector(selector)));
}

/**
 * Refuses an entry that strangers could match: nothing in it, a program without the account or group that runs it
 * (any process may start, or turn itself into, a given program), or only facts that anybody may have.
 *
 * @throws TrustWardenError `selectors_too_weak` with the reason.
 */
export function requireStrongSelectors(selectors: readonly Selector[]): void {
  if (selectors.length === 0) throw tooWeak("no selector");
  const hasProcess = selectors.some(isProcessAnchor);
  if (selectors.some(({ type }) => type === "unix") && !hasProcess) {
    throw tooWeak(
      "unix selectors need unix:uid, unix:user, unix:cgroup, systemd, container or launcher beside them",
    );
  }
  if (hasProcess || selectors.some(({ type, value }) => isAnchor(NETWORK_ANCHORS, { type, value }))) return;
  if (!selectors.some(({ type }) => type === "k8s"))
    throw tooWeak("every selector is one that others may have too");
  requireStrongKubernetes(selectors);
}

/** Name spaces repeat in every cluster, and service accounts in every name space. */
function requireStrongKubernetes(selectors: readonly Selector[]): void {
  const has = (key: string) =>
    selectors.some((selector) => selector.type === "k8s" && keyOf(selector) === key);
  if (!has("cluster")) throw tooWeak("k8s selectors need k8s:cluster beside them");
  if (!has("pod-uid") && !has("ns")) throw tooWeak("k8s selectors need k8s:ns or k8s:pod-uid beside them");
}

function isProcessAnchor(selector: Selector): boolean {
  if (selector.type === "launcher" && selector.value.split(":").includes(SAME_UID)) return false;
  return isAnchor(PROCESS_ANCHORS, selector);
}

function isAnchor(anchors: ReadonlySet<string>, selector: Selector): boolean {
  return anchors.has(`${selector.type}:*`) || anchors.has(`${selector.type}:${keyOf(selector)}`);
}

/** What kind of fact it is: the value up to its first colon. */
function keyOf({ value }: Selector): string {
  return value.split(":", 1).join("");
}

function byCodeUnits(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("selector_malformed", { reason });
}

function tooWeak(reason: string): TrustWardenError {
  return new TrustWardenError("selectors_too_weak", { reason });
}
