/** A support agent and the researcher that it hands over to: two identities, and a tool that one of them may not use. */
import { deepStrictEqual, strictEqual } from "node:assert";
import { guardAgent, type ToolDefinition } from "@trustwarden/adapters/openai-agents.ts";
import { AgentIdentity } from "trustwarden";
import { z } from "zod";
import { researchModel, supportModel } from "./model.ts";

const done: string[] = [];
const pageTool = (name: string): ToolDefinition => ({
  name,
  description: `${name} of the wiki`,
  parameters: z.object({ page: z.string() }),
  execute: async ({ page }) => {
    done.push(`${name} ${page}`);
    return `${page}: arrives tomorrow`;
  },
});

// A child of whoever hands over to it: a new instance at each run, with less than its parent may do.
const researcher = guardAgent(
  { name: "researcher", model: researchModel, tools: [pageTool("read_page"), pageTool("delete_page")] },
  { name: "researcher", scope: ["use:tool:read_page"] },
);

const identity = await AgentIdentity.create({ name: "support" });
const support = guardAgent({ name: "support", model: supportModel, handoffs: [researcher] }, identity);

const { finalOutput } = await support.run("Where is my parcel?");
strictEqual(finalOutput, "Parcel 7 arrives tomorrow; and I may not delete pages.");
deepStrictEqual(done, ["read_page parcels/7"]);
console.log(finalOutput);
await identity.close();
