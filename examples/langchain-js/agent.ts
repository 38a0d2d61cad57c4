/** A support agent and the researcher that it calls: two identities, and a tool that one of them may not use. */
import { deepStrictEqual, strictEqual } from "node:assert";
import { tool } from "@langchain/core/tools";
import { guardAgent } from "@trustwarden/adapters/langchain.ts";
import { AgentIdentity } from "trustwarden";
import { z } from "zod";
import { researchModel, supportModel } from "./model.ts";

const done: string[] = [];
const pageTool = (name: string) =>
  tool(
    async ({ page }: { page: string }) => {
      done.push(`${name} ${page}`);
      return `${page}: arrives tomorrow`;
    },
    { name, description: `${name} of the wiki`, schema: z.object({ page: z.string() }) },
  );
const textOf = ({ messages }: Record<string, unknown>): string => Object(messages).at(-1).content;
const ask = (content: string) => ({ messages: [{ role: "user", content }] });

// A child of whoever calls it: a new instance at each run, with less than its caller may do.
const researcher = guardAgent(
  { model: researchModel, tools: [pageTool("read_page"), pageTool("delete_page")] },
  { name: "researcher", scope: ["use:tool:read_page"] },
);
const research = tool(
  async ({ question }: { question: string }) => textOf(await researcher.invoke(ask(question))),
  {
    name: "research",
    description: "asks the researcher",
    schema: z.object({ question: z.string() }),
  },
);

const identity = await AgentIdentity.create({ name: "support" });
const support = guardAgent({ model: supportModel, tools: [research] }, identity);

const text = textOf(await support.invoke(ask("Where is my parcel?")));
strictEqual(text, "Parcel 7 arrives tomorrow.");
deepStrictEqual(done, ["read_page parcels/7"]);
console.log(text);
await identity.close();
