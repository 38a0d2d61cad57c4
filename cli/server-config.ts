/** The settings that the server of this data directory runs with; its modules are loaded only when asked for. */
import type { ServerConfig } from "@trustwarden/server/config.ts";
import type { Session } from "./command.ts";

/** As the server itself would read them. @param file - of JSON settings. @throws TrustWardenError `config_invalid`, `bind_refused`. */
export async function loadServerConfig(
  { paths, io }: Pick<Session, "paths" | "io">,
  file: string | undefined,
): Promise<ServerConfig> {
  const { loadConfig } = await import("@trustwarden/server/config.ts");
  const flags = { dataDir: paths.dataDir, configDir: paths.configDir };
  return loadConfig({ flags, environment: io.env, ...(file === undefined ? {} : { file }) });
}
