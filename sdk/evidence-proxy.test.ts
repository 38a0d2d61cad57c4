/** Evidence is a secret until it is used: no variable of the environment leads the question for it to a proxy. */
import { execFile } from "node:child_process";
import { createServer, type RequestListener, type Server } from "node:http";
import { afterEach, expect, it } from "vitest";

const servers: Server[] = [];
const EVIDENCE = new URL("evidence.ts", import.meta.url).href;

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${Object(server.address()).port}`;
}

/** What a process with these variables gets. */
function evidenceOf(metadataUrl: string, env: Readonly<Record<string, string>>): Promise<string> {
  const program = `const { fromGce } = await import(${JSON.stringify(EVIDENCE)});
    const evidence = fromGce({ metadataUrl: ${JSON.stringify(metadataUrl)} });
    const made = await evidence({ nonce: "n".repeat(43), audience: "spiffe://acme.test" }).catch(({ code, details }) => ({ code, ...details }));
    console.log(JSON.stringify(made));`;
  return new Promise((resolve, reject) => {
    const args = ["--input-type=module", "--eval", program];
    execFile(process.execPath, args, { env: { PATH: process.env.PATH, ...env } }, (error, stdout) => {
      if (error === null) resolve(stdout.trim());
      else reject(error);
    });
  });
}

it("asks the metadata service itself, also where everything else goes through a proxy", async () => {
  const seen: string[] = [];
  const proxy = await listen((request, response) => {
    seen.push(request.url ?? "");
    response.end("of the proxy");
  });
  const metadata = await listen((request, response) => response.end(`token for ${request.headers.host}`));
  const env = { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: proxy, http_proxy: proxy, ALL_PROXY: proxy };
  const made = await evidenceOf(metadata, env);
  expect(seen).toEqual([]);
  expect(made).toContain(`token for ${new URL(metadata).host}`);
});

it("follows no redirect and reads no more than an answer's worth", async () => {
  const elsewhere: string[] = [];
  const thief = await listen((request, response) => {
    elsewhere.push(request.url ?? "");
    response.end("of the thief");
  });
  const mover = await listen((_request, response) => response.writeHead(302, { location: thief }).end());
  expect(JSON.parse(await evidenceOf(mover, {}))).toMatchObject({
    code: "evidence_unavailable",
    reason: "status 302",
  });
  expect(elsewhere).toEqual([]);
  const endless = await listen((_request, response) => response.end("x".repeat(70_000)));
  expect(JSON.parse(await evidenceOf(endless, {}))).toMatchObject({ code: "evidence_unavailable" });
});
