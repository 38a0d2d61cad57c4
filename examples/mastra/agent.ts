/** A support agent and the researcher that it calls: two identities, and a tool that one of them may not use. */
import { deepStrictEqual, strictEqual } from "node:assert";
import { createTool } from "@mastra/core/tools";
import { guardAgent } from "@trustwarden/adapters/mastra.ts";
import { AgentIdentity } from "trustwarden";
import { z } from "zod";
import { researchModel, supportModel } from "./model.ts";

const done: string[] = [];
const pageTool = (id: string) =>
  createTool({
    id,
    description: `${id} of the wiki`,
    inputSchema: z.object({ page: z.string() }),
    execute: async ({ page }) => {
      done.push(`${id} ${page}`);
      return `${page}: arrives tomorrow`;
    },
  });

// A child of whoever calls it: a new instance at each run, with less than its caller may do.
const researcher = guardAgent(
  {
    id: "researcher",
    name: "researcher",
    instructions: "Look it up.",
    model: researchModel,
    tools: { read_page: pageTool("read_page"), delete_page: pageTool("delete_page") },
  },
  { name: "researcher", scope: ["use:tool:read_page"] },
);
const research = createTool({
  id: "research",
  description: "asks the researcher",
  inputSchema: z.object({ question: z.string() }),
  execute: async ({ question }) => (await researcher.generate(question)).text,
});

const identity = await AgentIdentity.create({ name: "support" });
const support = guardAgent(
  { id: "support", name: "support", instructions: "Help.", model: supportModel, tools: { research } },
  identity,
);

const { text } = await support.generate("Where is my parcel?");
strictEqual(text, "Parcel 7 arrives tomorrow.");
deepStrictEqual(done, ["read_page parcels/7"]);
console.log(text);
await identity.close();
