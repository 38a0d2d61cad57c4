/**
 * One witness, as the server calls it. Its answers are a stranger's: bounded in bytes and time, and believed only as
 * far as its signature goes.
 *
 * @see C2SP tlog-witness
 */

import {
  formatSubmission,
  parseTlogSize,
  type Submission,
  TLOG_SIZE_TYPE,
} from "@trustwarden/core/agentledger/add-checkpoint.ts";
import { ADD_SHARD, type Announcement, formatAnnouncement } from "@trustwarden/core/agentledger/add-shard.ts";
import { verifyCosignatures } from "@trustwarden/core/agentledger/cosignature.ts";
import { formatSignatureLine, parseNote, signaturesOf } from "@trustwarden/core/agentledger/signed-note.ts";
import type { PolicyWitness } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { originHash } from "@trustwarden/core/agentledger/witness.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** A checkpoint with dozens of signatures. */
const MAX_ANSWER_BYTES = 131_072;

type Refusal =
  /** The witness knows another size than was thought. */
  { readonly kind: "behind"; readonly size: number } | { readonly kind: "refused"; readonly status: number };

/** What came of a submission. */
export type SubmissionAnswer = { readonly kind: "cosigned"; readonly lines: string } | Refusal;

/** A witness that can be asked. */
export interface WitnessClient {
  readonly witness: PolicyWitness;
  /** @throws TrustWardenError `witnesses_unreachable` when it gives no answer of the protocol. */
  submit(submission: Submission): Promise<SubmissionAnswer>;
  /**
   * Shows it the end of a log and the key of the next one. One of another make does not know the request.
   *
   * @throws as `submit`.
   */
  announce(announcement: Announcement): Promise<Refusal | { readonly kind: "followed" }>;
  /** The note that it remembers of a log, unverified; null when it shows none. @throws as `submit`. */
  readLatest(origin: string): Promise<string | null>;
}

/**
 * A client of the witness at its URL.
 *
 * @param options.ended - ends every request when the server closes.
 */
export function createWitnessClient(
  witness: PolicyWitness & { readonly url: string },
  options: { readonly timeoutMs: number; readonly ended: AbortSignal },
): WitnessClient {
  const call = (path: string, init: RequestInit) => exchange(`${witness.url}${path}`, init, options);
  return {
    witness,
    submit: async (submission) => {
      const body = formatSubmission(submission);
      const answer = await call("/add-checkpoint", { method: "POST", body });
      return answer.status === 200 ? { kind: "cosigned", lines: answer.body } : refusalOf(answer);
    },
    announce: async (announcement) => {
      const body = formatAnnouncement(announcement);
      const answer = await call(ADD_SHARD, { method: "POST", body });
      return answer.status === 200 ? { kind: "followed" } : refusalOf(answer);
    },
    readLatest: async (origin) => {
      const { status, body } = await call(`/${originHash(origin)}/checkpoint`, {});
      if (status === 404 || status === 405) return null;
      if (status !== 200) throw unreachable(witness.url, { status });
      return body;
    },
  };
}

function refusalOf({ status, type, body }: Exchanged): Refusal {
  if (status === 409 && type === TLOG_SIZE_TYPE) return { kind: "behind", size: parseTlogSize(body) };
  return { kind: "refused", status };
}

/**
 * A witness's own line among what it answered, verified. Strangers' lines and repetitions are dropped: a note has room for
 * few lines, and one witness could otherwise crowd out the others.
 *
 * @throws TrustWardenError `checkpoint_untrusted` when there is none, `checkpoint_malformed`.
 */
export function requireOwnLine(
  { name, key }: Pick<PolicyWitness, "name" | "key">,
  { note, answered }: { readonly note: string; readonly answered: string },
): string {
  const line = signaturesOf(parseNote(note + answered).signatures, key)
    .slice(0, 1)
    .map(formatSignatureLine)
    .join("");
  if (line === "" || verifyCosignatures(note + line, [key]).length === 0) {
    throw new TrustWardenError("checkpoint_untrusted", { reason: "no cosignature", witness: name });
  }
  return line;
}

interface Exchanged {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

async function exchange(
  url: string,
  init: RequestInit,
  { timeoutMs, ended }: { readonly timeoutMs: number; readonly ended: AbortSignal },
): Promise<Exchanged> {
  try {
    const signal = AbortSignal.any([ended, AbortSignal.timeout(timeoutMs)]);
    const answer = await fetch(url, { ...init, redirect: "error", signal });
    const [type = ""] = (answer.headers.get("content-type") ?? "").split(";");
    return { status: answer.status, type: type.trim(), body: await readText(answer, url) };
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw unreachable(url, { reason: cause instanceof Error ? cause.name : "unknown" }, cause);
  }
}

async function readText(answer: Response, url: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of answer.body ?? []) {
    size += part.length;
    if (size > MAX_ANSWER_BYTES) throw unreachable(url, { reason: "answer too large" });
    parts.push(part);
  }
  return parseUtf8(Buffer.concat(parts));
}

function unreachable(url: string, facts: Record<string, string | number>, cause?: unknown): TrustWardenError {
  return new TrustWardenError("witnesses_unreachable", { url, ...facts }, { cause });
}
