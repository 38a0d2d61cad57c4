/** A support agent and the researcher that it calls: two identities, and a tool that one of them may not use. */
import { deepStrictEqual, strictEqual } from "node:assert";
import { guardAgent } from "@trustwarden/adapters/ai-sdk.ts";
import { tool } from "ai";
import { AgentIdentity } from "trustwarden";
import { z } from "zod";
import { researchModel, supportModel } from "./model.ts";

const done: string[] = [];
const pageTool = (verb: string) =>
  tool({
    inputSchema: z.object({ page: z.string() }),
    execute: async ({ page }) => {
      done.push(`${verb} ${page}`);
      return `${page}: arrives tomorrow`;
    },
  });

// A child of whoever calls it: a new instance at each run, with less than its caller may do.
const researcher = guardAgent(
  { model: researchModel, tools: { read_page: pageTool("read"), delete_page: pageTool("delete") } },
  { name: "researcher", scope: ["use:tool:read_page"] },
);

const identity = await AgentIdentity.create({ name: "support" });
const support = guardAgent(
  {
    model: supportModel,
    tools: {
      research: tool({
        inputSchema: z.object({ question: z.string() }),
        execute: async ({ question }) => (await researcher.generate({ prompt: question })).text,
      }),
    },
  },
  identity,
);

const { text } = await support.generate({ prompt: "Where is my parcel?" });
strictEqual(text, "Parcel 7 arrives tomorrow.");
deepStrictEqual(done, ["read parcels/7"]);
console.log(text);
await identity.close();
