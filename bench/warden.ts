/** A `warden up` in a process of its own, once it runs: asked as its operator, and ended. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import type { JsonObject } from "@trustwarden/core/json.ts";

/** Asks over the operator's socket; what is not answered with 200 is an error. */
export function askOperator(
  socketPath: string,
  {
    method,
    path,
    body,
  }: { readonly method: string; readonly path: string; readonly body?: JsonObject | undefined },
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const type = body === undefined ? {} : { "content-type": "application/json" };
  const sent = request(
    { socketPath, method, path, headers: { host: "localhost", ...type } },
    async (answer) => {
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part);
      const text = Buffer.concat(parts).toString();
      if (answer.statusCode === 200) resolve(JSON.parse(text));
      else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
    },
  );
  sent.once("error", reject);
  sent.end(JSON.stringify(body));
  return promise;
}

/** Asks a process to end and waits until it has. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
