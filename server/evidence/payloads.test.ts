/** How much of what was kept is opened for one bundle. */
import { formatTestEventId, issueTestIntent } from "@trustwarden/core/agentledger/record.test.support.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { formatRequestCommitment } from "@trustwarden/core/intent.ts";
import { expect, test } from "vitest";
import { expectRejection } from "../../test/support/expect-code.ts";
import { openPayloads } from "./payloads.ts";

const salt = new Uint8Array(32);
const call = { method: "POST", target: "/v1/messages" };

/** Events with requests of so many bytes, and how many were opened. */
function keep(count: number, bytes: number) {
  const request = new Uint8Array(bytes);
  const commitment = formatRequestCommitment({ ...call, body: request }, salt);
  const numbers = Array.from({ length: count }, (_, number) => number);
  let opened = 0;
  const read = async () => {
    opened += 1;
    return { ...call, request, answer: new Uint8Array(), salt };
  };
  const records = new Map(
    numbers.map((number) => {
      const intent = issueTestIntent({ event_id: formatTestEventId(number), request: commitment });
      return [number, parseRecord(intent)] as const;
    }),
  );
  const events = numbers.map((number) => ({ event_id: formatTestEventId(number), indexes: [number] }));
  return { opened: () => opened, open: () => openPayloads({ read }, { events, records }) };
}

test("no more is opened than one bundle can hold", async () => {
  const few = keep(3, 1_000_000);
  expect((await few.open()).files.size).toBe(3);
  const many = keep(40, 4_000_000);
  await expectRejection(many.open(), "evidence_bundle_too_large");
  expect(many.opened()).toBe(3);
});
