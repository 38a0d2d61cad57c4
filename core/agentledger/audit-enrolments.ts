/**
 * Who let each instance be: the document behind every issue event, and the proof of the new key.
 *
 * The server signs what it issued; that an owner or a parent wanted it is their own signature, which the event
 * carries. Without this check a lying server could make agents in any owner's name and the log would still add up.
 */
import { encodeBase64url } from "../bytes.ts";
import { formatThumbprint, type PublicKey, sha256 } from "../crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, type UnverifiedEnvelope, verifyEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord } from "../event.ts";
import type { JsonObject } from "../json.ts";
import type { OwnerKey } from "../passkey.ts";
import { isSubset, parseScope } from "../scope.ts";
import { boundDigestOf, EntryAuditor } from "./audit-entries.ts";
import { OwnerKeys } from "./audit-owners.ts";
import { namesOf, type Revocations } from "./audit-revocations.ts";
import { AgentOwners } from "./audit-transfers.ts";
import type { SvidDirectory } from "./svid-directory.ts";

/** Clocks differ, and an event is written a moment after its document was looked at. */
const SKEW_SECONDS = 30;
const SERVER_ID = /^spiffe:\/\/[^/]+\/trustwarden\/server\/[^/]+$/;

/** What an instance was issued with. */
interface Issued {
  readonly chain: readonly string[];
  /** Atoms, read when they are held against a child's. */
  readonly scope: unknown;
  readonly epoch: number;
}

/** Owns the owners' keys and the chains of instances, as the log registers them; lives for one audit. */
export class EnrolmentAuditor {
  readonly #svids: SvidDirectory;
  readonly #owners = new OwnerKeys();
  readonly #revocations: Revocations;
  readonly #issued = new Map<string, Issued>();
  /** Narrowed scopes, by SPIFFE ID. */
  readonly #narrowed = new Map<string, Pick<Issued, "scope" | "epoch">[]>();
  /** Digests of the tickets and grants that were used. */
  readonly #used = new Set<string>();
  /** SPIFFE IDs of other trust domains that owners registered. */
  readonly #foreign = new Set<string>();
  readonly #entries = new EntryAuditor();
  readonly #holders = new AgentOwners((owner, envelope) => this.#owners.keyFor(owner, envelope));

  constructor(svids: SvidDirectory, revocations: Revocations) {
    this.#svids = svids;
    this.#revocations = revocations;
  }

  /** `owner:<id>` and agent ids that an instance was issued with; undefined when the log does not say. */
  chainOf(spiffeId: string): readonly string[] | undefined {
    return this.#issued.get(spiffeId)?.chain;
  }

  /** Epoch at which an instance was issued; a foreign one when it was last registered. Undefined when the log does not say. */
  issuedAt(spiffeId: string): number | undefined {
    return this.#issued.get(spiffeId)?.epoch;
  }

  /** The key that must have signed an owner's document, as the log registered it. @throws TrustWardenError `record_malformed`. */
  ownerKey(owner: string, envelope: UnverifiedEnvelope): OwnerKey {
    return this.#owners.keyFor(owner, envelope);
  }

  /** Whether a SPIFFE ID is a registered one of another trust domain. */
  isForeign(spiffeId: string | null): boolean {
    return spiffeId !== null && this.#foreign.has(spiffeId);
  }

  /**
   * Checks an allowed event that registers an owner, person or entry, admits a node, issues an instance or narrows one, or
   * gives an agent away; call in the order of the log.
   *
   * @param signerId - SPIFFE ID of the server that signed it.
   * @throws TrustWardenError `record_malformed`, or what parsing, signatures and certificates are refused with.
   */
  add(control: ControlRecord, signerId: string): void {
    const { kind, allow, subject, chain } = control;
    if (!allow || subject === null) return;
    switch (kind) {
      case "owner":
      case "person":
        this.#owners.add(control);
        return;
      case "entry":
        this.#addEntry(control);
        return;
      case "node":
        this.#entries.addNode(control);
        this.#requirePossession(subject, control);
        return;
      case "issue":
        this.#issued.set(subject, { chain, scope: control.details.scope, epoch: control.epoch });
        this.#addInstance(subject, control);
        this.#holders.requireOwner(control);
        return;
      case "transfer":
        this.#holders.add(control, signerId);
        return;
      case "narrow":
        this.#addNarrowed(subject, control);
        return;
      default:
    }
  }

  #addInstance(subject: string, control: ControlRecord): void {
    if (control.details.via === "foreign") {
      this.#requireRegistered(subject, control);
      return;
    }
    this.#requireWanted(subject, control);
    requireHolder(
      parseUnverifiedPayload(parseEnvelope(textOf(control.details.enrolment))),
      this.#requirePossession(subject, control),
    );
  }

  #requireWanted(subject: string, control: ControlRecord): void {
    const { details, chain } = control;
    const envelope = parseEnvelope(textOf(details.enrolment));
    const document = parseUnverifiedPayload(envelope);
    requireCurrent(document, control);
    this.#requireTimely(document, { subject, control });
    if (details.via !== "entry") this.#requireUnused(envelope);
    requireNamed(document, subject);
    if (isService(document)) {
      this.#requireServer(envelope, control);
      return;
    }
    if (String(document.scope) !== String(details.scope)) throw invalid("another scope than was signed");
    if (details.via === "entry") {
      this.#requireOwner(envelope, { type: "entry", owner: document.owner, chain });
      this.#entries.requireMatch(document, control);
    } else if (document.kind === "agent") {
      this.#requireOwner(envelope, { type: "ticket", owner: document.owner, chain });
    } else this.#requireParent(envelope, { document, control });
  }

  /** Nothing was issued: the owner's document names the SPIFFE ID, and each intent proves who holds it. */
  #requireRegistered(subject: string, control: ControlRecord): void {
    const { details, chain } = control;
    const envelope = parseEnvelope(textOf(details.enrolment));
    const document = parseUnverifiedPayload(envelope);
    const { kind, owner, scope, spiffe_id: spiffeId } = document;
    requireCurrent(document, control);
    if (kind !== "foreign" || spiffeId !== subject) throw invalid("a registration of another workload");
    if (String(scope) !== String(details.scope)) throw invalid("another scope than was signed");
    this.#requireOwner(envelope, { type: "entry", owner, chain });
    this.#foreign.add(subject);
  }

  #requireServer(envelope: UnverifiedEnvelope, { time }: ControlRecord): void {
    const { spiffeId, publicKey } = this.#svids.verify(envelope.unverifiedKeyid, secondsOf(time));
    if (!SERVER_ID.test(spiffeId)) throw invalid("a verifier's ticket that no server signed");
    verifyEnvelope(envelope, "ticket", publicKey);
  }

  /** A registered entry is its owner's, before any instance of it; what operators admit is only their word. */
  #addEntry(control: ControlRecord): void {
    const { details, subject } = control;
    this.#entries.addChange(control);
    if (details.change !== "create" || details.entry_kind !== "agent") return;
    const envelope = parseEnvelope(textOf(details.entry));
    const { owner, jti } = parseUnverifiedPayload(envelope);
    if (subject !== `ent_${jti}`) throw invalid("an entry under another id");
    verifyEnvelope(envelope, "entry", this.#owners.keyOfFile(owner));
  }

  #requireOwner(
    envelope: UnverifiedEnvelope,
    permit: {
      readonly type: "ticket" | "entry";
      readonly owner: unknown;
      readonly chain: readonly string[];
    },
  ): void {
    const { type, owner, chain } = permit;
    // An entry is used again and again, long after its passkey may be gone: only a file's key signs one.
    const key = type === "entry" ? this.#owners.keyOfFile(owner) : this.#owners.keyFor(owner, envelope);
    if (chain.length !== 2 || chain[0] !== `owner:${owner}`) throw invalid(`a ${type} of another owner`);
    verifyEnvelope(envelope, type, key);
  }

  #requireParent(
    envelope: UnverifiedEnvelope,
    { document, control }: { readonly document: JsonObject; readonly control: ControlRecord },
  ): void {
    const { spiffeId, publicKey } = this.#svids.verify(textOf(document.svid_sha256), secondsOf(control.time));
    const parent = this.#issued.get(spiffeId);
    const isParents =
      spiffeId === document.parent && parent?.chain.join() === control.chain.slice(0, -1).join();
    if (parent === undefined || !isParents) throw invalid("a grant of another parent");
    verifyEnvelope(envelope, "grant", publicKey);
    const { epoch } = control;
    const names = namesOf(spiffeId, parent.chain);
    if (this.#revocations.find(names, { after: parent.epoch, until: epoch }) !== undefined)
      throw invalid("a grant of a parent that was revoked");
    const child = parseScope(textsOf(control.details.scope));
    const narrowed = this.#narrowed.get(spiffeId)?.filter((one) => one.epoch <= epoch) ?? [];
    for (const { scope } of [parent, ...narrowed])
      if (!isSubset({ parent: parseScope(textsOf(scope)), child }))
        throw invalid("a grant of more than the parent had");
  }

  #addNarrowed(subject: string, { details, epoch }: ControlRecord): void {
    const known = this.#narrowed.get(subject) ?? [];
    this.#narrowed.set(subject, known);
    known.push({ scope: details.scope, epoch });
  }

  /** Whoever revoked did not know of a document that was signed before, so it lets nobody be afterwards. */
  #requireTimely(
    document: JsonObject,
    { subject, control }: { readonly subject: string; readonly control: ControlRecord },
  ): void {
    const revokedAt = this.#revocations.lastAt(namesOf(subject, control.chain), control.epoch);
    const signedAt = typeof document.iat === "number" ? document.iat : 0;
    if (revokedAt !== undefined && signedAt <= revokedAt) throw invalid("a document of before a revocation");
  }

  /** A ticket or grant lets one instance be; told by what was signed, since a signature has more than one form. */
  #requireUnused({ payload }: UnverifiedEnvelope): void {
    const digest = encodeBase64url(sha256(payload));
    if (this.#used.has(digest)) throw invalid("a ticket or grant that was used before");
    this.#used.add(digest);
  }

  /** The new key signed for this very document, so that one document cannot serve a key of somebody else. */
  #requirePossession(subject: string, control: ControlRecord): PublicKey {
    const { details, time } = control;
    const { spiffeId, publicKey } = this.#svids.verify(textOf(details.svid_sha256), secondsOf(time));
    const proof = verifyEnvelope(parseEnvelope(textOf(details.possession)), "possession", publicKey);
    if (spiffeId !== subject || proof.enrolment_sha256 !== boundDigestOf(control))
      throw invalid("a proof of another key");
    return publicKey;
  }
}

/** Whether a server lets something be with it that is no agent. */
function isService({ kind }: JsonObject): boolean {
  return kind === "verifier" || kind === "relay";
}

/** Whoever signed a document said until when it lets somebody be: at the time of the event it must have been in force. */
function requireCurrent({ iat, exp }: JsonObject, { time }: ControlRecord): void {
  const at = secondsOf(time);
  if (typeof iat !== "number" || typeof exp !== "number" || exp <= iat)
    throw invalid("a document without its time");
  if (iat > at + SKEW_SECONDS) throw invalid("a document of later");
  if (at >= exp + SKEW_SECONDS) throw invalid("a document that had expired");
}

/** Whoever signed a document let somebody be of one trust domain, path and name, and no other. */
function requireNamed(document: JsonObject, subject: string): void {
  const { aud, name } = document;
  const path = isService(document) ? `trustwarden/${document.kind}` : document.path;
  const place = [aud, path, name].filter((part) => part !== "").join("/");
  if (subject.split("/").slice(0, -1).join("/") !== place) throw invalid("another name than was signed");
}

/** A document that names the key which may use it lets in no other: a parent's grant, or a ticket for an agent that asked. */
function requireHolder(document: JsonObject, key: PublicKey): void {
  const named = document.child_thumbprint ?? document.holder_thumbprint;
  if (named !== undefined && named !== formatThumbprint(key)) throw invalid("a document for another key");
}

function secondsOf(time: string): number {
  return Math.floor(Date.parse(time) / 1000);
}

function textOf(value: unknown): string {
  if (typeof value !== "string") throw invalid("a document or proof is missing");
  return value;
}

function textsOf(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw invalid("a scope is missing");
  return value.map(textOf);
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("record_malformed", { reason });
}
