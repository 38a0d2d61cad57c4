/** Real nginx with the server block of the guide, and the callers of the wild. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requireProgram } from "../tools.ts";
import { type RunningProgram, startProgram } from "./program.ts";

/** Debian keeps it where only root looks. */
const PLACES = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** Path of nginx. @throws JudgeUnavailable */
export async function requireNginx(): Promise<string> {
  const program = PLACES.find((path) => existsSync(path)) ?? "nginx";
  await requireProgram(program, ["-v"], "install Debian's nginx and libnginx-mod-stream");
  return program;
}

/**
 * Starts nginx with one block, inside `http` or `stream`.
 *
 * @param options.directory - of its own; logs and process id go there.
 */
export async function startNginx(options: {
  readonly nginx: string;
  readonly directory: string;
  readonly inside: "http" | "stream";
  readonly block: string;
  readonly port: number;
}): Promise<RunningProgram> {
  const { nginx, directory, inside, block, port } = options;
  mkdirSync(directory, { recursive: true });
  const isDynamic = inside === "stream" && existsSync(STREAM_MODULE);
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  const common = inside === "http" ? ["access_log off;", ...places] : [];
  const configuration = [
    ...(isDynamic ? [`load_module ${STREAM_MODULE};`] : []),
    // The worker keeps the account of this process, whose sockets and files it uses.
    ...(process.getuid?.() === 0 ? ["user root;"] : []),
    "worker_processes 1;",
    "daemon off;",
    `pid ${join(directory, "nginx.pid")};`,
    "events {}",
    `${inside} {`,
    ...common,
    block,
    "}",
  ];
  const file = join(directory, "nginx.conf");
  writeFileSync(file, `${configuration.join("\n")}\n`);
  return startProgram(nginx, ["-p", directory, "-e", join(directory, "error.log"), "-c", file], { port });
}
