/**
 * `warden protect`: a reverse proxy that lets agents through to a service which asks nobody who they are, each request
 * proven, decided and recorded.
 */
import { X509Certificate } from "node:crypto";
import type { Server } from "node:https";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import { askedToEnd } from "../asked-to-end.ts";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { listenOn, parseListen } from "../listen.ts";
import { readRoutes } from "../openapi-file.ts";
import { formatTable } from "../output.ts";
import { readTextFile } from "../text-file.ts";

const DEFAULT_LISTEN = "127.0.0.1:8443";

interface ProtectOptions {
  readonly to: string;
  readonly routes?: string;
  readonly openapi?: string;
  readonly listen: string;
  readonly allowExternal?: true;
  readonly caFile?: string;
  readonly printRoutes?: true;
}

export function addProtectCommand(program: Command, runtime: Runtime): void {
  program
    .command("protect")
    .description(
      "put verified identity in front of a service: a reverse proxy that decides and records each request",
    )
    .requiredOption("--to <url>", "origin of the service: https, or http on this machine")
    .option("--routes <file>", "what each request means: JSON, {routes: [{method, path, action, resource}]}")
    .option("--openapi <file>", "the same from an OpenAPI document, JSON or YAML")
    .option("--listen <host:port>", "where agents come; port 0 for any free one", DEFAULT_LISTEN)
    .option("--allow-external", "permit an address beyond loopback")
    .option("--ca-file <file>", "PEM of the authorities that the service's certificate is from")
    .option("--print-routes", "show the table and stop")
    .addHelpText(
      "after",
      examples(
        "warden protect --to http://127.0.0.1:9000 --openapi orders.yaml --print-routes",
        "TRUSTWARDEN_TICKET=tw1.… warden protect --to http://127.0.0.1:9000 --openapi orders.yaml",
      ),
    )
    .action((options: ProtectOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The service is not protected.",
        run: (session) => protect(session, options),
      }),
    );
}

async function protect(session: Session, options: ProtectOptions): Promise<void> {
  const { io, output } = session;
  const { createProtectServer, parseProtectedUrl } = await import("@trustwarden/node/protect/proxy.ts");
  const url = parseProtectedUrl(options.to).origin;
  const routes = readRoutes(options, url);
  if (options.printRoutes === true) {
    const rows = routes.map(({ method, path, action, resource }) => [method, path, action, resource]);
    output.show(
      { routes: routes.map((route) => ({ ...route })) },
      formatTable(["METHOD", "PATH", "ACTION", "RESOURCE"], rows, "No routes."),
    );
    return;
  }
  const listen = parseListen(options);
  const ticket = io.env.TRUSTWARDEN_TICKET;
  if (ticket === undefined) throw new TrustWardenError("ticket_missing");
  // Whatever may be wrong here is found before the ticket is spent.
  const ca = options.caFile === undefined ? undefined : readAuthorities(options.caFile);
  const { verifyAgent } = await import("trustwarden");
  const guard = await verifyAgent({
    routes,
    ticket,
    onRefusal: (error, { method, path }) => {
      const code = error instanceof TrustWardenError ? error.code : "internal";
      io.stderr(`${JSON.stringify({ refused: code, method, path })}\n`);
    },
  });
  let server: Server | undefined;
  try {
    server = createProtectServer(guard, { url, ca });
    const { host, port } = await listenOn(server, listen);
    const ending = askedToEnd();
    io.stdout(
      `${JSON.stringify({ ready: true, url: `https://${host}:${port}`, id: guard.id, routes: routes.length })}\n`,
    );
    await ending;
  } finally {
    server?.closeAllConnections();
    server?.close();
    await guard.close();
  }
}

/** @throws TrustWardenError `not_found`, `usage` unless it begins with a certificate. */
function readAuthorities(file: string): string {
  const text = readTextFile(file);
  try {
    new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new TrustWardenError("usage", { why: `${file} is no PEM of certificates` }, { cause });
  }
}
