/** What is pasted becomes a question, and whatever a text says of itself counts only where it is proven. */
import { FollowedKeys } from "@trustwarden/core/agentledger/followed-keys.ts";
import { formatReceiptHeader, type Receipt } from "@trustwarden/core/api/action.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTestAgent, issueReceipt, logVkey, SERVICE_ID } from "../../../sdk/support.test.helpers.ts";
import { questionOf } from "./pasted.ts";

const sign = createTestAgent();
const draft = { action: "read:t", resource: "db://t", request: null, params: null, audience: SERVICE_ID };
const receipt = issueReceipt(sign(draft));
const other = issueReceipt(sign(draft));
const header = formatReceiptHeader(receipt);
const ask = (text: string) =>
  questionOf(text, { bundle: '{"keys":[]}', keys: new FollowedKeys(logVkey, async () => []) });
const promised = {
  kind: "event",
  eventId: receipt.event_id,
  index: receipt.decision_index,
  proven: expect.stringContaining("promised"),
};
/** Words of anybody's that name nothing themselves. */
const prose = fc
  .array(fc.stringMatching(/^[a-z0-9.,:;!?{}"'()<>#@äß-]{1,12}$/), { minLength: 1, maxLength: 20 })
  .map((words) => `so ${words.join(" ")}`);

describe("a receipt", () => {
  it("leads to the event that the log promised, as a header and as JSON", async () => {
    expect(await ask(header)).toEqual({ ...promised, isQuoted: false });
    expect(await ask(JSON.stringify(receipt))).toEqual({ ...promised, isQuoted: false });
  });

  it("is none of another event, whose id stands beside a good promise", async () => {
    const swapped: Receipt = { ...receipt, event_id: other.event_id };
    for (const text of [formatReceiptHeader(swapped), JSON.stringify(swapped)])
      await expect(ask(text)).rejects.toMatchObject({
        code: "receipt_invalid",
        details: { reason: "event" },
      });
  });
});

describe("a post", () => {
  it("leads to the event of the receipt in it, whatever stands around", async () => {
    const around = fc.tuple(prose, prose, fc.constantFrom(" ", "\n", "\r\n\t"));
    await fc.assert(
      fc.asyncProperty(around, async ([before, after, space]) => {
        const text = [before, header, after].join(space);
        expect(await ask(text)).toEqual({ ...promised, isQuoted: true });
      }),
    );
    expect(await ask(`See ${receipt.event_id} (receipt: ${header}).`)).toEqual({
      ...promised,
      isQuoted: true,
    });
  });

  it("leads to the event whose id stands in it, and proves nothing by that", async () => {
    const named = { kind: "event", eventId: receipt.event_id, index: null, proven: null, isQuoted: true };
    await fc.assert(
      fc.asyncProperty(prose, prose, async (before, after) => {
        expect(await ask(`${before} ${receipt.event_id} ${after}`)).toEqual(named);
      }),
    );
    expect(await ask(`https://warden.test/app/question?q=${receipt.event_id}, says the agent`)).toEqual(
      named,
    );
  });

  it("is believed nothing when any sign of its receipt is another", async () => {
    const place = fc.nat(header.length - 1);
    const sign64 = fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    await fc.assert(
      fc.asyncProperty(place, sign64, async (at, sign) => {
        fc.pre(header[at] !== sign);
        const changed = `${header.slice(0, at)}${sign}${header.slice(at + 1)}`;
        const asked = await ask(`so it was: ${changed}`).catch((error: unknown) => error);
        // The digest of the intent is no part of what the log promised, and nothing is made of it.
        const isAllTheSame = asked !== null && typeof asked === "object" && "proven" in asked;
        if (isAllTheSame) expect(asked).toEqual({ ...promised, isQuoted: true });
        else
          expect(asked).toMatchObject({
            code: expect.stringMatching(/^(receipt_invalid|request_malformed)$/),
          });
      }),
      { numRuns: 300 },
    );
  });

  it("that names two events is not answered: the second would be another's proof beside its words", async () => {
    const second = formatReceiptHeader(other);
    for (const text of [
      `${receipt.event_id} and ${other.event_id}`,
      `${other.event_id} ${header}`,
      `${header} ${second}`,
    ])
      await expect(ask(text)).rejects.toMatchObject({ code: "request_malformed" });
  });

  it("that names nothing, or what is only like it, is not answered", async () => {
    const cut = header.slice(0, -4);
    const inside = `a${receipt.event_id}`;
    for (const text of ["hello there", "", `x ${inside}`, `x ${receipt.event_id.toUpperCase()}`])
      await expect(ask(text)).rejects.toMatchObject({ code: "request_malformed" });
    await expect(ask(`x ${cut}`)).rejects.toMatchObject({ code: "request_malformed" });
    await expect(ask("agt_1 and own_2 did inst-3 things")).rejects.toMatchObject({
      code: "request_malformed",
    });
    await expect(ask("tree planting was fun")).rejects.toMatchObject({ code: "request_malformed" });
  });
});

describe("any text", () => {
  it("proves nothing by itself, and is refused by a code", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ maxLength: 300 }), async (text) => {
        const asked = await ask(text).catch((error: unknown) => error);
        if (asked instanceof Error) expect(asked).toHaveProperty("code");
        else expect(asked).not.toHaveProperty("proven", expect.any(String));
      }),
    );
  });
});
