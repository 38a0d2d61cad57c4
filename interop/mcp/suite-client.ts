/**
 * The program that the conformance suite starts as the client: hands what it was told on to the judge, whose client of the
 * official SDK does the talking, and ends as that ends. `node suite-client.ts <judge's URL> <URL of the suite's server>`.
 */
const [judge = "", server = ""] = process.argv.slice(2);
const { MCP_CONFORMANCE_SCENARIO: scenario = "", MCP_CONFORMANCE_CONTEXT: context = "{}" } = process.env;
const answer = await fetch(judge, { method: "POST", body: JSON.stringify({ scenario, server, context }) });
if (!answer.ok) console.error(await answer.text());
process.exitCode = answer.ok ? 0 : 1;
