/** What a person does in front of the console, in order; each step leaves the next one what it needs. */
import assert from "node:assert/strict";
import { formatReceiptHeader } from "@trustwarden/core/api/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { AgentIdentity } from "trustwarden";
import { inspect } from "./browser.ts";
import { CLAIMS } from "./claims.ts";
import { ORGANIZATIONS } from "./organizations.ts";
import { PASTING } from "./pasting.ts";
import { PEOPLE } from "./people.ts";
import { PROVIDERS } from "./providers.ts";
import { RESTORED } from "./restored.ts";
import { ask, go, heading, proven, refused, type Step, step } from "./step.ts";
import { TRYING } from "./trying.ts";
import { TWO_ADMINS } from "./two-admins.ts";
import { UPKEEP } from "./upkeep.ts";

const COMING = [
  step("whoever has no session sees a door and nothing else", async ({ world, browser, pictures }) => {
    await browser.page.goto(world.origin);
    await heading(browser.page, "Sign in").waitFor();
    assert.equal(await browser.page.getByRole("navigation").count(), 0);
    await inspect(browser.page, "sign-in", pictures);
  }),
  step("the first admin comes in by a one-time link and a passkey", async ({ world, browser, pictures }) => {
    const { page } = browser;
    await page.goto(`${world.origin}/app/welcome#${await world.link()}`);
    await heading(page, "Welcome").waitFor();
    await inspect(page, "welcome", pictures);
    await page.getByLabel("Your name, for others to see").fill("Ada");
    await page.getByRole("button", { name: "Create a passkey and come in" }).click();
    await heading(page, "Now").waitFor();
    assert.ok(await page.getByText("Ada").isVisible());
  }),
  step("a session ends when a person signs out, and the passkey opens another", async ({ browser }) => {
    const { page } = browser;
    await page.getByRole("button", { name: "Sign out" }).click();
    await heading(page, "Sign in").waitFor();
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await heading(page, "Now").waitFor();
  }),
];

const LOOKING = [
  step("decisions of agents appear while they are made", async ({ world, browser, pictures }) => {
    const { page } = browser;
    await page.locator('[data-state="live"]').waitFor();
    await world.child.fetch(`${world.service.url}/docs/1`);
    await world.agent.fetch(`${world.service.url}/docs/2`, { method: "POST", body: "two" });
    const denied = await world.child.fetch(`${world.service.url}/docs/3`, { method: "POST", body: "no" });
    assert.equal(denied.ok, false);
    await page.getByRole("link", { name: "write:doc" }).first().waitFor();
    await page.getByText("denied", { exact: true }).last().waitFor();
    await page.getByRole("img", { name: /agents per owner/ }).waitFor();
    await inspect(page, "now", pictures);
  }),
  step("the tree leads from the owner to its agents and their children", async ({ browser, pictures }) => {
    const { page } = browser;
    await go(page, "Agents");
    await page.getByRole("button", { name: "What is below alice" }).click();
    await page.getByRole("button", { name: "What is below orchestrator" }).click();
    await page.getByRole("link", { name: "reader", exact: true }).waitFor();
    await inspect(page, "agents", pictures);
    await page.getByPlaceholder("Name, or path/name").fill("rea");
    await page.getByRole("heading", { name: "Found" }).waitFor();
    await page.getByRole("link", { name: "reader", exact: true }).click();
    await heading(page, "reader").waitFor();
  }),
  step(
    "an agent's page says who answers for it, what it may do and what it did",
    async ({ browser, pictures }) => {
      const { page } = browser;
      await page.getByRole("link", { name: "orchestrator" }).waitFor();
      await page.getByText("read:doc").first().waitFor();
      await page
        .getByRole("region", { name: "What it did" })
        .getByRole("link", { name: "read:doc" })
        .first()
        .waitFor();
      await page.getByLabel(/^What could it do with this/).fill("doc:7");
      await page
        .getByRole("form", { name: "Search what it could do" })
        .getByRole("button", { name: "Search" })
        .click();
      await page.getByRole("list", { name: "Allowed now" }).getByText("read", { exact: true }).waitFor();
      const taken = page.waitForEvent("download");
      await page.getByRole("link", { name: "Evidence" }).click();
      assert.equal((await taken).suggestedFilename(), "reader.twb");
      await inspect(page, "agent", pictures);
    },
  ),
  step("the ledger is searched, and a line leads to its proof", async ({ browser, pictures }) => {
    const { page } = browser;
    await go(page, "Ledger");
    await page.getByText("Filters").click();
    await page.getByLabel("Action").fill("write:doc");
    await page.getByRole("button", { name: "Search" }).click();
    await page
      .getByRole("cell", { name: /write:doc/ })
      .first()
      .waitFor();
    assert.equal(await page.getByRole("cell", { name: /read:doc/ }).count(), 0);
    await inspect(page, "ledger", pictures);
    await page.getByRole("link", { name: "write:doc" }).first().click();
    await proven(page);
  }),
];

const PROVING = [
  step(
    "the three questions are answered with a proof that this browser checked",
    async ({ browser, pictures }) => {
      const { page } = browser;
      for (const name of ["Which agent did this?", "Who authorized it?", "What stops it?"]) {
        await page.getByRole("heading", { name }).waitFor();
      }
      await page.getByText("Proven in this browser").waitFor();
      const custody = page.getByRole("list", { name: "From the human to the action" });
      await custody.getByText("orchestrator").waitFor();
      await custody.getByText("write:doc", { exact: true }).last().waitFor();
      await inspect(page, "question", pictures);
    },
  ),
  step(
    "one changed bit is refused, and the evidence as it came is proven again",
    async ({ browser, pictures }) => {
      const { page } = browser;
      await page.getByRole("button", { name: "Change one bit and check again" }).click();
      await refused(page);
      assert.equal(await page.getByRole("heading", { name: "Which agent did this?" }).count(), 0);
      await inspect(page, "question-refused", pictures);
      await page.getByRole("button", { name: "Check the evidence as it came" }).click();
      await proven(page);
    },
  ),
  step("a server that shows other records than it logged is refused", async ({ world, browser }) => {
    const { page } = browser;
    const receipt = world.agent.receipts.at(-1);
    assert.ok(receipt);
    const path = `/v1/evidence?event=${receipt.receipt.event_id}`;
    const shown: unknown = await page.evaluate(
      `fetch("${path}").then((answer) => answer.arrayBuffer()).then((bytes) => [...new Uint8Array(bytes)])`,
    );
    assert.ok(Array.isArray(shown));
    const body = Buffer.from(shown.map(Number));
    const at = body.indexOf('"payload":"') + 40;
    body[at] = body[at] === 65 ? 66 : 65;
    await page.route("**/v1/evidence?*", (route) => route.fulfill({ body, contentType: "application/zip" }));
    await ask(page, receipt.receipt.event_id);
    await refused(page);
    await page.unroute("**/v1/evidence?*");
  }),
  step(
    "a receipt, and an instance, lead to their records; a forged receipt does not",
    async ({ world, browser }) => {
      const { page } = browser;
      const kept = world.agent.receipts.at(-1);
      assert.ok(kept);
      await ask(page, formatReceiptHeader(kept.receipt));
      await page.getByText("The log's key promised this decision").waitFor();
      await proven(page);
      const forged = { ...kept.receipt, decision: kept.receipt.decision.replace("a", "b") };
      await ask(page, formatReceiptHeader(forged));
      await page.getByText("receipt_invalid").waitFor();
      await ask(page, world.child.instanceId);
      await proven(page);
    },
  ),
];

const ACTING = [
  step(
    "what waits for a human is shown, answered by the owner's key, and used once",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      const url = `${world.service.url}/docs/7/delete`;
      const call = { method: "POST", body: "old" };
      const asked: unknown = await world.agent.fetch(url, call).catch((error: unknown) => error);
      assert.ok(asked instanceof TrustWardenError && asked.code === "approval_required");
      const id = String(asked.details.request);
      const waiting = world.agent.waitForApproval(id);
      // Whoever awaits it is told all the same; a step that fails before that must not end the run.
      waiting.catch(() => undefined);
      await go(page, "Approvals");
      await page.locator('[data-status="pending"]').waitFor();
      await inspect(page, "approvals", pictures);
      await world.live.answer(id, "approve");
      await world.agent.fetch(url, { ...call, approval: await waiting });
      await page.getByRole("button", { name: "Show all" }).click();
      await page.locator('[data-status="used"]').waitFor();
    },
  ),
  step(
    "an owner signs an agent's ticket by the passkey, and what the agent has to wait for",
    async ({ world, browser, pictures }) => {
      const { page } = browser;
      await go(page, "Agents");
      await page.getByLabel(/^Name/).fill("bookkeeper");
      await page.getByLabel(/^May do/).fill("read:doc write:doc delete:doc");
      await inspect(page, "new-agent", pictures);
      await page.getByRole("button", { name: "Sign with your passkey" }).click();
      await page.locator("[data-signed]").waitFor();
      const shown = (await page.locator("[data-signed] code").textContent()) ?? "";
      const ticket = shown.replace(/^TRUSTWARDEN_TICKET=/, "");
      const agent = await AgentIdentity.create({ name: "bookkeeper", ticket });
      const url = `${world.service.url}/docs/8/delete`;
      const call = { method: "POST", body: "old" };
      const asked: unknown = await agent.fetch(url, call).catch((error: unknown) => error);
      assert.ok(asked instanceof TrustWardenError && asked.code === "approval_required");
      const waiting = agent.waitForApproval(String(asked.details.request));
      waiting.catch(() => undefined);
      await go(page, "Approvals");
      await page.getByRole("button", { name: "Look again" }).click();
      await page.getByRole("button", { name: "Approve with your passkey" }).click();
      await agent.fetch(url, { ...call, approval: await waiting });
      await ask(page, agent.instanceId);
      await proven(page);
      await agent.close();
    },
  ),
  step("a stop is one clear step, measured, and holds", async ({ world, browser, pictures }) => {
    const { page } = browser;
    await go(page, "Agents");
    await page.getByRole("button", { name: "What is below alice" }).click();
    await page.getByRole("link", { name: "orchestrator", exact: true }).click();
    await heading(page, "orchestrator").waitFor();
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await inspect(page, "stop", pictures);
    await page.getByRole("button", { name: "Stop it now" }).click();
    await page.locator("[data-stopped]").waitFor();
    await page.screenshot({ path: `${pictures}stopped.png` });
    for (const stopped of [world.agent, world.child]) {
      const isAnswered = await stopped.fetch(`${world.service.url}/docs/1`).then(
        ({ ok }) => ok,
        () => false,
      );
      assert.equal(isAnswered, false);
    }
    await page.getByRole("link", { name: "See the proof" }).click();
    await proven(page);
  }),
];

const REST = [
  ...["Policies", "People", "Secrets", "Settings"].map((name) =>
    step(`${name} is readable by everybody who may read it`, async ({ browser, pictures }) => {
      const { page } = browser;
      await go(page, name);
      await page.waitForLoadState("networkidle");
      assert.equal(await page.getByRole("alert").count(), 0);
      await inspect(page, name.toLowerCase(), pictures);
    }),
  ),
  step("the keyboard goes everywhere", async ({ browser }) => {
    const { page } = browser;
    await go(page, "Now");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate("document.activeElement.getAttribute('name')"), "q");
    await page.keyboard.press("Escape");
    await page.evaluate("document.activeElement.blur()");
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("l");
    await heading(page, "Ledger").waitFor();
  }),
  step(
    "forms are filled and sent by the keyboard alone, and what went wrong is announced",
    async ({ browser }) => {
      const { page } = browser;
      const keys = async (...pressed: readonly string[]) => {
        for (const key of pressed) await page.keyboard.press(key);
      };
      /** Tabs until what has this name is where one is. */
      const reach = async (name: RegExp) => {
        for (let stop = 0; stop < 60; stop += 1) {
          const label = String(
            await page.evaluate(
              "[document.activeElement.labels?.[0]?.textContent, document.activeElement.textContent].join(' ').trim()",
            ),
          );
          if (name.test(label)) return;
          await page.keyboard.press("Tab");
        }
        throw new Error(`the keyboard does not come to ${name}`);
      };
      await page.evaluate("document.activeElement.blur()");
      await keys("g", "p");
      await heading(page, "Policies").waitFor();
      await reach(/^Why/);
      await page.keyboard.type("by the keyboard");
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Lift it" }).waitFor();
      await page.evaluate("document.activeElement.blur()");
      await reach(/^Lift it/);
      await page.keyboard.press("Enter");
      await page.getByRole("form", { name: "Freeze" }).waitFor();
      await page.evaluate("document.activeElement.blur()");
      await keys("g", "a");
      await heading(page, "Agents").waitFor();
      await reach(/^Claim code/);
      await page.keyboard.type("0000-0000-0000-0000");
      await page.keyboard.press("Enter");
      await page.getByRole("alert").getByText("No agent waits under this code").waitFor();
    },
  ),
  step("what a script would put into the page is stopped, and told", async ({ browser }) => {
    const { page } = browser;
    // What a hole in the page would do; Trusted Types must not let it.
    const attempt = "document.createElement('div').innerHTML = '<img src=x onerror=alert(1)>'";
    const thrown = String(
      await page.evaluate(
        `(() => { try { ${attempt}; return ""; } catch (error) { return String(error); } })()`,
      ),
    );
    assert.match(thrown, /TrustedHTML|Trusted/);
    const faults: string[] = [];
    // The report comes by a message of its own, some turns later.
    for (let turn = 0; turn < 200 && faults.length === 0; turn += 1) {
      await page.evaluate("new Promise((resolve) => setTimeout(resolve))");
      faults.push(...browser.takeFaults());
    }
    assert.ok(
      faults.some((text) => text.includes("require-trusted-types-for")),
      faults.join("\n"),
    );
  }),
];

/** All of it. */
export const SCENARIO: readonly Step[] = [
  ...COMING,
  ...LOOKING,
  ...PROVING,
  ...PASTING,
  ...ACTING,
  ...CLAIMS,
  ...TWO_ADMINS,
  ...TRYING,
  ...UPKEEP,
  ...PEOPLE,
  ...PROVIDERS,
  ...ORGANIZATIONS,
  ...REST,
  ...RESTORED,
];
