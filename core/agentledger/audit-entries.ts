/**
 * Whether the instances of registration entries are what their owners signed: the entry's own words, a workload that
 * had what the entry asks for, and a node that the log knows.
 *
 * What a node or attestor saw nobody can check later; that its word was for what the owner asked for, anybody can.
 */
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord } from "../event.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";

const ANY_NODE = "*";

/** Owns the nodes that were admitted and the entries that were removed, as the log tells; lives for one audit. */
export class EntryAuditor {
  /** Names of nodes by SPIFFE ID. */
  readonly #nodes = new Map<string, string>();
  readonly #removed = new Set<string>();

  /** An admitted node; that its key was its own is the caller's check. @throws TrustWardenError `record_malformed`. */
  addNode({ subject, details }: ControlRecord): void {
    const [, , , area, kind, name] = subject?.split("/") ?? [];
    if (subject === null || area !== "trustwarden" || kind !== "node" || name !== details.name)
      throw invalid("a node under another name");
    this.#nodes.set(subject, textOf(name));
  }

  /** A registered or removed entry. */
  addChange({ subject, details }: ControlRecord): void {
    if (details.change === "remove" && subject !== null) this.#removed.add(subject);
  }

  /**
   * Refuses an instance that is not what its entry says. The entry's signature is the caller's check.
   *
   * @param entry - the document's members.
   * @throws TrustWardenError `record_malformed`.
   */
  requireMatch(entry: JsonObject, { subject, details, time }: ControlRecord): void {
    const id = `ent_${entry.jti}`;
    if (details.entry_id !== id) throw invalid("another entry than was signed");
    if (this.#removed.has(id)) throw invalid("an entry that had been removed");
    const at = Math.floor(Date.parse(time) / 1000);
    if (typeof entry.exp !== "number" || at >= entry.exp) throw invalid("an entry that had expired");
    const place = [entry.path, entry.name].filter((part) => part !== "").join("/");
    const ofSubject = subject?.split("/").slice(3, -1).join("/");
    if (ofSubject !== place) throw invalid("another name than was signed");
    this.#requireWorkload(entry, details);
  }

  #requireWorkload(entry: JsonObject, details: JsonObject): void {
    const { attested } = details;
    if (!isJsonObject(attested)) throw invalid("nothing was attested");
    const known = new Set(textsOf(attested.selectors));
    if (!textsOf(entry.selectors).every((selector) => known.has(selector)))
      throw invalid("a selector of the entry that nobody attested");
    if (attested.type !== "node") return;
    const name = this.#nodes.get(textOf(attested.node));
    if (name === undefined) throw invalid("a node that nobody admitted");
    const nodes = textsOf(entry.nodes);
    if (!nodes.includes(ANY_NODE) && !nodes.includes(name))
      throw invalid("a node that the entry does not name");
    const claimed = [...known].filter((selector) => selector.startsWith("node:"));
    if (claimed.join() !== `node:${name}`) throw invalid("a selector of another node");
  }
}

/** What the proof of the new key is bound to: evidence where there is some, else the document. */
export function boundDigestOf({ kind, details }: ControlRecord): string {
  if (kind === "node") return textOf(details.evidence_sha256);
  const { attested, enrolment } = details;
  if (isJsonObject(attested) && attested.type !== "node") return textOf(attested.evidence_sha256);
  return encodeBase64url(sha256(encodeUtf8(textOf(enrolment))));
}

function textOf(value: Json | undefined): string {
  if (typeof value !== "string") throw invalid("a document or proof is missing");
  return value;
}

function textsOf(value: Json | undefined): readonly string[] {
  if (!Array.isArray(value)) throw invalid("a list is missing");
  return value.map(textOf);
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("record_malformed", { reason });
}
