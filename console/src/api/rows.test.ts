/** What must not compile, held by the compiler (`./dev check` reads this file); nothing here is run but the last line. */
import { agentView, ownerList } from "@trustwarden/core/api/ledger.ts";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { callApi, pathWith } from "./client.ts";

type Calls = (ask: typeof callApi, address: typeof pathWith) => readonly unknown[];

const id: string = "agt_1";
const fitting: Calls = (ask, address) => [
  ask({ path: "/v1/owners", answer: ownerList }),
  ask({ path: `/v1/agents/${id}`, answer: agentView }),
  ask({ path: address("/v1/owners", { limit: 5 }), answer: ownerList }),
  ask({ path: `/v1/secrets/${id}/disabling`, body: { reason: "x" }, answer: z.object({ name: z.string() }) }),
];
const misfitting: Calls = (ask, address) => [
  // @ts-expect-error there is no such address
  ask({ path: "/v1/owner", answer: ownerList }),
  // @ts-expect-error it answers something else
  ask({ path: "/v1/owners", answer: agentView }),
  // @ts-expect-error it takes no such query
  address("/v1/owners", { limits: 5 }),
  // @ts-expect-error it takes another body
  ask({ path: "/v1/people/links", body: { roles: ["king"] }, answer: z.unknown() }),
];

describe("calls of the console", () => {
  it("are of rows that there are, as they are asked, and with what they answer", () => {
    expect([fitting, misfitting].every((calls) => typeof calls === "function")).toBe(true);
  });
});
