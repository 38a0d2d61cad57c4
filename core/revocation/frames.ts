/**
 * The frames of the revocation feed: JSON lines, closed schemas, hard limits, both directions.
 *
 * Deliberately strict: an unknown member, a duplicate key or a second spelling of a nonce is refused, so that both ends
 * can never read two different frames in the same bytes. Who sent a frame is the business of the connection.
 *
 * @see docs/path.md, "The lease"
 */
import { encodeUtf8, parseBase64url } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "../json.ts";

/** HTTP/1.1 `Upgrade` token of the connection that carries the frames. */
export const LEASE_PROTOCOL = "trustwarden-lease/1";

/** How long one echoed nonce lets a verifier go on. A server may grant less, never more: "within one second". */
export const LEASE_MS = 700;

/** How often a verifier sends a nonce; three may be lost before the lease ends. */
export const BEAT_MS = 200;

/** Longest line from the server. */
export const MAX_SERVER_LINE_BYTES = 65_536;
/** Longest line from a verifier; a beat needs about 60. */
export const MAX_BEAT_BYTES = 256;
/** More in one push says "everything": one line must stay short enough to be built, sent and read at once. */
const MAX_PUSH_TARGETS = 256;
/** A SPIFFE ID's own limit; our ids are shorter. */
const MAX_TARGET_ID_CHARS = 2048;
/** More than anybody has behind one relay; what all connections say together stays a number that can be added up. */
export const MAX_BEHIND = 100_000_000;
const NONCE_BYTES = 16;
/** The two lines that come all the time, as they are written here; whatever else means the same is read the long way. */
const OWN_BEAT = /^\{"nonce":"([\w-]{21}[AQgw])","ack":(0|[1-9]\d{0,14})\}$/;
const OWN_ECHO =
  /^\{"echo":"([\w-]{21}[AQgw])","epoch":(0|[1-9]\d{0,14}),"seq":(0|[1-9]\d{0,14})(?:,"lease_ms":([1-9]\d{0,2}))?\}$/;

/** What a push can be about. */
export const TARGET_KINDS = [
  "instance",
  "agent",
  "owner",
  "narrowed",
  "policy",
  "entry",
  "authority",
  "federation",
] as const;

/** What an epoch did: somebody died (`instance`, `agent`, `owner`), was narrowed, the policy became tighter, or
 * something that nodes and verifiers keep a copy of changed (`entry`, `authority`, `federation`): fetch it again. */
export interface RevocationTarget {
  readonly kind: (typeof TARGET_KINDS)[number];
  readonly id: string;
}

/** The target that voids every older decision; used where the exact targets are not known or too many. */
export const EVERYTHING: RevocationTarget = { kind: "policy", id: "*" };

/** Every agent of every owner died. No verifier looks it up: `EVERYTHING` goes with it. */
export const EVERYBODY: RevocationTarget = { kind: "owner", id: "*" };

/** Whether this ends whoever has one of these ids: its own, or that of an ancestor or its owner. */
export function isDeathOf({ kind, id }: RevocationTarget, ids: readonly string[]): boolean {
  if (kind === EVERYBODY.kind && id === EVERYBODY.id) return true;
  return (kind === "instance" || kind === "agent" || kind === "owner") && ids.includes(id);
}

/** Verifier to server: asks for an echo, and says which epoch its view has applied. */
export interface Beat {
  /** base64url of 16 random bytes. */
  readonly nonce: string;
  readonly ack: number;
  /** Of a relay only: how it stands with the leases that it gave on. */
  readonly behind?: BehindRelay | undefined;
}

/** What a relay says of the leases behind it; nobody else can know, so it is shown as the relay's word. */
export interface BehindRelay {
  /** Leases that it gave on, and that the relays behind it gave on. */
  readonly leases: number;
  /** Of the latest epoch: those that have neither acknowledged nor run out yet. */
  readonly left: number;
  /** Of the acknowledged epoch. */
  readonly acked: number;
  readonly expired: number;
}

/** First frame of a connection: where its view starts. */
export interface HelloFrame {
  readonly kind: "hello";
  readonly epoch: number;
  readonly leaseMs: number;
  /** `seq` of the last push before this connection. */
  readonly seq: number;
}

/** Answer to a beat; extends the lease to `leaseMs` after the beat was sent. */
export interface EchoFrame {
  readonly kind: "echo";
  readonly nonce: string;
  readonly epoch: number;
  /** `seq` of the last push on this connection. */
  readonly seq: number;
  /** From a relay: no more than is left of its own lease. The lease of the hello when absent. */
  readonly leaseMs?: number | undefined;
}

/** One step of the epoch. */
export interface PushFrame {
  readonly kind: "push";
  /** One more than the push before. */
  readonly seq: number;
  readonly epoch: number;
  readonly targets: readonly RevocationTarget[];
}

export type ServerFrame = HelloFrame | EchoFrame | PushFrame;

/**
 * A beat from an untrusted line.
 *
 * @throws TrustWardenError `request_malformed`, `request_too_large`, `base64_malformed` or a `json_…` code.
 */
export function parseBeat(line: string): Beat {
  const [, nonce, ack] = OWN_BEAT.exec(line) ?? [];
  if (nonce !== undefined) return { nonce, ack: Number(ack) };
  const frame = parseJsonObject(line, MAX_BEAT_BYTES);
  const own = { nonce: parseNonce(frame.nonce), ack: parseCount(frame.ack) };
  if (!Object.hasOwn(frame, "behind")) {
    requireMembers(frame, ["ack", "nonce"]);
    return own;
  }
  requireMembers(frame, ["ack", "behind", "nonce"]);
  return { ...own, behind: parseBehind(frame.behind) };
}

/** The line of a beat, with its end. */
export function encodeBeat({ nonce, ack, behind }: Beat): Uint8Array {
  return encodeLine(behind === undefined ? { nonce, ack } : { nonce, ack, behind: { ...behind } });
}

/**
 * A server's frame from an untrusted line.
 *
 * @throws TrustWardenError `request_malformed`, `request_too_large`, `base64_malformed` or a `json_…` code.
 */
export function parseServerFrame(line: string): ServerFrame {
  const own = readOwnEcho(line);
  if (own !== undefined) return own;
  const frame = parseJsonObject(line, MAX_SERVER_LINE_BYTES);
  if (Object.hasOwn(frame, "hello")) return parseHello(frame);
  if (Object.hasOwn(frame, "echo")) return parseEcho(frame);
  return parsePush(frame);
}

/**
 * The line of a server's frame, with its end. A push with more targets than one line holds becomes `EVERYTHING`, which
 * voids more decisions and never fewer.
 */
export function encodeServerFrame(frame: ServerFrame): Uint8Array {
  switch (frame.kind) {
    case "hello":
      return encodeLine({ hello: { epoch: frame.epoch, lease_ms: frame.leaseMs, seq: frame.seq } });
    case "echo":
      return encodeLine(formatEcho(frame));
    case "push":
      return encodePush(frame);
  }
}

function readOwnEcho(line: string): EchoFrame | undefined {
  const [, nonce, epoch, seq, leaseMs] = OWN_ECHO.exec(line) ?? [];
  if (nonce === undefined) return undefined;
  const own = { kind: "echo", nonce, epoch: Number(epoch), seq: Number(seq) } as const;
  return leaseMs === undefined ? own : { ...own, leaseMs: parseLeaseMs(Number(leaseMs)) };
}

function parseHello(frame: JsonObject): HelloFrame {
  requireMembers(frame, ["hello"]);
  const hello = frame.hello;
  if (!isJsonObject(hello)) throw malformed("hello");
  requireMembers(hello, ["epoch", "lease_ms", "seq"]);
  const leaseMs = parseLeaseMs(hello.lease_ms);
  return { kind: "hello", epoch: parseCount(hello.epoch), leaseMs, seq: parseCount(hello.seq) };
}

function parseEcho(frame: JsonObject): EchoFrame {
  const own = {
    kind: "echo",
    nonce: parseNonce(frame.echo),
    epoch: parseCount(frame.epoch),
    seq: parseCount(frame.seq),
  } as const;
  if (!Object.hasOwn(frame, "lease_ms")) {
    requireMembers(frame, ["echo", "epoch", "seq"]);
    return own;
  }
  requireMembers(frame, ["echo", "epoch", "lease_ms", "seq"]);
  return { ...own, leaseMs: parseLeaseMs(frame.lease_ms) };
}

function formatEcho({ nonce, epoch, seq, leaseMs }: EchoFrame): JsonObject {
  const own = { echo: nonce, epoch, seq };
  return leaseMs === undefined ? own : { ...own, lease_ms: leaseMs };
}

/** Nobody grants more than one lease, and a lease of nothing is not granted. */
function parseLeaseMs(value: Json | undefined): number {
  const leaseMs = parseCount(value);
  if (leaseMs < 1 || leaseMs > LEASE_MS) throw malformed("lease_ms");
  return leaseMs;
}

function parseBehind(value: Json | undefined): BehindRelay {
  if (!isJsonObject(value)) throw malformed("behind");
  requireMembers(value, ["acked", "expired", "leases", "left"]);
  return {
    leases: parseBehindCount(value.leases),
    left: parseBehindCount(value.left),
    acked: parseBehindCount(value.acked),
    expired: parseBehindCount(value.expired),
  };
}

function parsePush(frame: JsonObject): PushFrame {
  requireMembers(frame, ["epoch", "seq", "targets"]);
  const targets = frame.targets;
  if (!Array.isArray(targets) || targets.length < 1 || targets.length > MAX_PUSH_TARGETS) {
    throw malformed("targets");
  }
  return {
    kind: "push",
    seq: parseCount(frame.seq),
    epoch: parseCount(frame.epoch),
    targets: targets.map(parseTarget),
  };
}

function parseTarget(value: Json): RevocationTarget {
  if (!isJsonObject(value)) throw malformed("target");
  requireMembers(value, ["id", "kind"]);
  const { id } = value;
  const kind = TARGET_KINDS.find((known) => known === value.kind);
  if (kind === undefined) throw malformed("kind");
  if (typeof id !== "string" || id.length < 1 || id.length > MAX_TARGET_ID_CHARS) throw malformed("id");
  return { kind, id };
}

function encodePush({ seq, epoch, targets }: PushFrame): Uint8Array {
  const listed = targets.map(({ kind, id }) => ({ kind, id }));
  const line = encodeLine({ seq, epoch, targets: listed });
  const fits =
    listed.length > 0 &&
    listed.length <= MAX_PUSH_TARGETS &&
    line.length <= MAX_SERVER_LINE_BYTES &&
    listed.every(({ id }) => id.length > 0 && id.length <= MAX_TARGET_ID_CHARS);
  return fits ? line : encodeLine({ seq, epoch, targets: [{ ...EVERYTHING }] });
}

/** One spelling for a nonce, so that an echo is compared as text. */
function parseNonce(value: Json | undefined): string {
  if (typeof value !== "string" || parseBase64url(value).length !== NONCE_BYTES) throw malformed("nonce");
  return value;
}

function parseCount(value: Json | undefined): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed("number");
  return value;
}

function parseBehindCount(value: Json | undefined): number {
  const count = parseCount(value);
  if (count > MAX_BEHIND) throw malformed("behind");
  return count;
}

/** @param sortedNames - the exact members, sorted. */
function requireMembers(frame: JsonObject, sortedNames: readonly string[]): void {
  const names = Object.keys(frame).sort();
  if (names.length !== sortedNames.length || names.some((name, index) => name !== sortedNames[index])) {
    throw malformed("members");
  }
}

function encodeLine(frame: JsonObject): Uint8Array {
  return encodeUtf8(`${JSON.stringify(frame)}\n`);
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("request_malformed", { frame: "lease", reason });
}
