/**
 * What was kept of the requests and answers of a bundle's events, as far as the log commits to it.
 *
 * What was erased comes as the record of its erasure; what was never kept, or nobody committed to, is said to be withheld.
 */
import { MAX_BUNDLE_BYTES } from "@trustwarden/core/agentledger/archive.ts";
import type { EventIndexes } from "@trustwarden/core/agentledger/evidence-bundle.ts";
import {
  type DisclosedPayload,
  encodePayloadFile,
  erasedEventOf,
  formatPayloadPath,
  isCommittedBy,
} from "@trustwarden/core/agentledger/evidence-payloads.ts";
import type { UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PayloadStore } from "../payloads/payload-store.ts";
import type { Need } from "./collect.ts";

const PARAMETERS = "parameters: the log holds salted commitments to them, the salts are with the agents";

type Records = ReadonlyMap<number, UnverifiedRecord>;

/** The records of erasures that a bundle of these events must not be silent about. */
export function erasuresOf(events: readonly { readonly event_id: string }[]): readonly Need[] {
  return events.map(({ event_id: id }) => ({ kind: "admin", about: `payload:${id}` }));
}

/**
 * Files of the payloads that are kept, and what is said of the others.
 *
 * @throws TrustWardenError `secret_unavailable`, `seal_broken`: what cannot be opened is not left out in silence;
 *   `evidence_bundle_too_large` before more is in memory than a bundle can hold.
 */
export async function openPayloads(
  payloads: Pick<PayloadStore, "read">,
  { events, records }: { readonly events: readonly EventIndexes[]; readonly records: Records },
): Promise<{ readonly files: ReadonlyMap<string, Uint8Array>; readonly withheld: readonly string[] }> {
  const erased = new Set([...records.values()].map(erasedEventOf));
  const files = new Map<string, Uint8Array>();
  let without = 0;
  let bytes = 0;
  for (const event of events) {
    const isAction = event.indexes.some((index) => isIntent(records.get(index)));
    if (!isAction || erased.has(event.event_id)) continue;
    const payload = await openPayload(payloads, event, records);
    if (payload === null) {
      without += 1;
      continue;
    }
    const file = encodePayloadFile(payload);
    bytes += file.length;
    if (bytes > MAX_BUNDLE_BYTES)
      throw new TrustWardenError("evidence_bundle_too_large", { maxBytes: MAX_BUNDLE_BYTES });
    files.set(formatPayloadPath(event.event_id), file);
  }
  const others = `requests and answers of ${without} events: not kept here, or not committed to`;
  return { files, withheld: without === 0 ? [PARAMETERS] : [PARAMETERS, others] };
}

/** Null for what was never kept, is being erased, or opens no commitment of this event. */
async function openPayload(
  payloads: Pick<PayloadStore, "read">,
  event: EventIndexes,
  records: Records,
): Promise<DisclosedPayload | null> {
  const kept = await readKept(payloads, event.event_id);
  if (kept === null || kept.salt === null) return null;
  const payload = { ...kept, salt: kept.salt };
  if (isCommittedBy(event, payload, records)) return payload;
  // An answer that no outcome commits to is nobody's word.
  const request = { ...payload, answer: null };
  return isCommittedBy(event, request, records) ? request : null;
}

async function readKept(payloads: Pick<PayloadStore, "read">, eventId: string) {
  try {
    return await payloads.read(eventId);
  } catch (error) {
    // Safe: that it is not here is said in the manifest.
    if (error instanceof TrustWardenError && error.code === "not_found") return null;
    throw error;
  }
}

function isIntent(record: UnverifiedRecord | undefined): boolean {
  return record?.unverified.kind === "intent" || record?.unverified.kind === "presented-intent";
}
