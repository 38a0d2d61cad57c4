/** What somebody found elsewhere is pasted: a certificate, a token, a commit, a post. */
import assert from "node:assert/strict";
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { eventAnswer, eventPage } from "@trustwarden/core/api/ledger.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { isJsonObject } from "@trustwarden/core/json.ts";
import type { Page } from "playwright-core";
import { commitBy } from "../../test/support/signed-commit.ts";
import { inspect } from "./browser.ts";
import { press, write } from "./keyboard.ts";
import { ask, go, proven, refused, step } from "./step.ts";
import type { World } from "./world.ts";

/** Asks in the screen's own form, which takes lines. */
async function askThere(page: Page, text: string): Promise<void> {
  await go(page, "Question");
  await write(page.getByRole("textbox", { name: /^An event, a receipt/ }), text);
  await press(page.getByRole("button", { name: "Ask", exact: true }));
}

/** A living agent's certificate, as the record of its issue has it. */
async function certificateOf({ live, child }: World): Promise<string> {
  const target = `/v1/events?kind=issue&agent=${child.instanceId}&limit=1`;
  const [event] = eventPage.parse(await live.admin("GET", target)).events;
  assert.ok(event);
  const { records } = eventAnswer.parse(await live.admin("GET", `/v1/events/${event.event_id}`));
  const { details } = parseUnverifiedPayload(parseEnvelope(records[0]?.entry ?? ""));
  assert.ok(isJsonObject(details) && Array.isArray(details.svid_chain));
  const lines = String(details.svid_chain[0]).match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----"].join("\n");
}

/** What two actions left with the agent, the newer one first. */
function receiptsOf({ agent }: World) {
  const [older, newer] = agent.receipts.slice(-2);
  assert.ok(older && newer);
  return [newer.receipt, older.receipt] as const;
}

/** One after another. */
export const PASTING = [
  step(
    "a certificate and a token lead to whose they are; a forged token does not",
    async ({ world, browser }) => {
      const { page } = browser;
      await askThere(page, await certificateOf(world));
      await proven(page);
      await page.getByText("reader").first().waitFor();
      const token = await world.agent.jwt("https://cloud.example");
      await askThere(page, token);
      await page.getByText("The token is signed by a key of the trust bundle").waitFor();
      await proven(page);
      // The middle of the signature says another number.
      const at = token.length - 40;
      await askThere(page, `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`);
      await page.getByText("signature_invalid").waitFor();
    },
  ),
  step(
    "a commit of real git leads to the agent that signed it; not after one changed letter",
    async ({ world, browser }) => {
      const { page } = browser;
      const commit = await commitBy(world.live.ticket({ name: "committer", scope: ["sign:git:tools"] }));
      await askThere(page, commit);
      await page.getByText("The commit is signed by the key of this certificate").waitFor();
      await proven(page);
      await page.getByText("team/finance/committer", { exact: true }).waitFor();
      await page.getByText("by a ticket to team/finance/committer").waitFor();
      await askThere(page, commit.replace("by an agent", "by Ada"));
      await page.getByText("signature_invalid").waitFor();
    },
  ),
  step(
    "a post leads to the event that it names, and nothing else of it is believed",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      await world.agent.fetch(`${world.service.url}/docs/4`);
      await world.agent.fetch(`${world.service.url}/docs/5`);
      const [receipt, other] = receiptsOf(world);
      const header = formatReceiptHeader(receipt);
      await askThere(page, `Paid them all today!\n\nTrustWarden-Receipt: ${header}\n\nAsk me how.`);
      await page.getByText("The log's key promised this decision").waitFor();
      await page.locator("[data-quoted]").waitFor();
      await proven(page);
      await page.getByText("doc://docs/5").first().waitFor();
      await inspect(page, "post", pictures);
      const swapped = formatReceiptHeader({ ...receipt, event_id: other.event_id });
      await askThere(page, `Paid them all today!\n${swapped}`);
      await page.getByText("receipt_invalid").waitFor();
      // On one line, in the bar above.
      await ask(page, `paid, see ${other.event_id}.`);
      await page.getByText("doc://docs/4").first().waitFor();
      await page.locator("[data-quoted]").waitFor();
      assert.equal(await page.getByText("The log's key promised").count(), 0);
      await askThere(page, `${receipt.event_id} and ${other.event_id}`);
      await page.getByText("request_malformed").waitFor();
    },
  ),
  step("a server that shows another event's good evidence is refused", async ({ world, browser }) => {
    const { page } = browser;
    const [receipt, other] = receiptsOf(world);
    const taken: unknown = await page.evaluate(
      `fetch("/v1/evidence?event=${other.event_id}").then((answer) => answer.arrayBuffer()).then((bytes) => [...new Uint8Array(bytes)])`,
    );
    assert.ok(Array.isArray(taken));
    const body = Buffer.from(taken.map(Number));
    await page.route("**/v1/evidence?*", (route) => route.fulfill({ body, contentType: "application/zip" }));
    await askThere(page, receipt.event_id);
    await refused(page);
    await page.unroute("**/v1/evidence?*");
    // Whose a certificate is, is no word of the server's either.
    const others = `/v1/events?agent=${world.agent.instanceId}&limit=1`;
    const listed = String(await page.evaluate(`fetch("${others}").then((answer) => answer.text())`));
    await page.route("**/v1/events?*", (route) =>
      route.fulfill({ body: listed, contentType: "application/json" }),
    );
    await askThere(page, await certificateOf(world));
    await refused(page);
    await page.unroute("**/v1/events?*");
  }),
] as const;
