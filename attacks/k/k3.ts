/** K3, the part without a browser: pages of other sites that use a session. Scripts in our own page are `./dev e2e`. */
import { sendPlain } from "../../test/support/people.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { admitAdmins, expectCode, posting, sendAs, WITH_CONSOLE } from "../support/people-cast.ts";

const INVITATION = posting("/v1/people/links", { roles: ["auditor"] });
const FOREIGN = [
  { origin: "https://evil.test" },
  { origin: "null" },
  { "sec-fetch-site": "cross-site" },
  { "sec-fetch-site": "same-site" },
  { "trustwarden-console": "" },
];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K3",
  title: "has a page of another site use an admin's session, and frame the console",
  expected: "nothing is changed and nothing is read; what comes back forbids frames and programs",
  weakening: "pages-of-any-site",
  world: WITH_CONSOLE,
  prepare: admitAdmins,
  control: async (world, { admin }) => {
    expectSame(
      (await sendAs(world, admin, INVITATION)).status,
      200,
      "an invitation by the console's own page",
    );
  },
  attack: async (world, { admin }) => {
    for (const headers of FOREIGN) {
      const answer = await sendAs(world, admin, { ...INVITATION, headers });
      expectCode(answer, [400, "request_cross_site"], `an invitation with ${JSON.stringify(headers)}`);
    }
    const { cookie } = admin;
    const reading = { target: "/v1/owners", headers: { cookie, "sec-fetch-site": "cross-site" } };
    expectCode(await sendPlain(world.server, reading), [400, "request_cross_site"], "reading");
    const rebound = { ...reading, headers: { ...reading.headers, host: "evil.test" } };
    expectCode(await sendPlain(world.server, rebound), [400, "request_malformed"], "a rebound name");
    for (const target of ["//evil.test", "/app/?next=https://evil.test&error_description=<script>"]) {
      const answer = await sendAs(world, admin, { target });
      expect(answer.status < 300 || answer.status >= 400, `${target} leads nowhere else`);
      const { "content-security-policy": policy = "", "x-frame-options": frames } = answer.headers;
      expect(String(policy).includes("frame-ancestors 'none'"), `${target} is framed by nobody`);
      expectSame([frames, answer.text.includes("<script>")], ["DENY", false], `the answer to ${target}`);
    }
  },
  // What no page of ours can send is nobody's attempt, and leaves no event.
  evidence: async (ledger) => ledger.expectNothing(),
});
