/** What a plan takes from a stranger's configuration: a secret alone, once, and for the place that it was for. */
import { describe, expect, test } from "vitest";
import { createKey } from "../scan.test.support.ts";
import { findSecrets } from "./finding.ts";
import { maskSecret } from "./masking.ts";
import { planText } from "./plan.ts";
import { applyTextEdits } from "./rewrite.ts";

const TOKEN = createKey("opaque", 9);

async function planOf(path: string, text: string) {
  const source = { place: { kind: "file", path }, form: "json", text } as const;
  return planText(text, await findSecrets(source, async () => []), maskSecret);
}

function serverWith(header: string): string {
  const server = { url: "https://mcp.search.example/mcp", headers: { "X-Auth": header } };
  return JSON.stringify({ mcpServers: { search: server } });
}

describe("a plan for a header", () => {
  test.each(["Bearer ", "Token "])("has the scheme before the secret as its template: %s", async (scheme) => {
    expect(await planOf("/a/.mcp.json", serverWith(`${scheme}${TOKEN}`))).toMatchObject([
      { injection: { template: `${scheme}{secret}` } },
    ]);
  });

  test.each([`user=bob;pin=4711; Bearer ${TOKEN}`, `Bearer ${TOKEN} pin=4711`])(
    "tells the broker's settings nothing else that stands in it: %#",
    async (header) => {
      const plans = await planOf("/a/.mcp.json", serverWith(header));
      expect(plans).toHaveLength(1);
      expect(JSON.stringify(plans)).not.toContain("template");
    },
  );
});

describe("a plan for a file that says a thing twice", () => {
  test("changes no stretch twice", async () => {
    const provider = `apiKey: "${TOKEN}", apiKey: "${TOKEN}", baseUrl: "https://llm.shop.example/v1", api: "openai-completions"`;
    const text = `{ models: { providers: { custom: { ${provider} } } }, after: "stays" }`;
    const edits = (await planOf("/a/openclaw.json", text)).flatMap((plan) =>
      "edits" in plan ? plan.edits : [],
    );
    expect(edits.length).toBeGreaterThan(0);
    expect(applyTextEdits(text, edits)).toBe(
      text
        .replaceAll(TOKEN, "held-by-the-gateway")
        .replace("https://llm.shop.example/v1", `$\{CUSTOM_BASE_URL}/v1`),
    );
  });
});
