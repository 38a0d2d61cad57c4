/** Redis: the recipes of `docs/guides/x509-redis.md`, alone and behind nginx, with what Redis alone does not see. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { requireProgram } from "../tools.ts";
import { letCallersTry } from "./callers.ts";
import { readBlock } from "./guide.ts";
import { requireNginx, startNginx } from "./nginx.ts";
import { type RunningProgram, startProgram } from "./program.ts";
import { createWildDomain, type WildDomain } from "./wild-domain.ts";

const GUIDE = "x509-redis.md";
const REMEDY = "install Debian's redis-server and redis-tools";
const SUCCESS = /^PONG$/m;

export const redisJudge: Judge = { name: "redis", run: judgeRedis };

async function judgeRedis(lab: Lab): Promise<Findings> {
  const version = await requireProgram("redis-server", ["--version"], REMEDY);
  await requireProgram("redis-cli", ["--version"], REMEDY);
  const nginx = await requireNginx();
  const wild = await createWildDomain();
  try {
    const behind = await judgeBehind(lab, wild, nginx);
    const alone = await judgeAlone(lab, wild);
    return countVerdicts([...behind, ...alone], version.split(" ").slice(0, 3).join(" "));
  } finally {
    await wild.close();
  }
}

async function judgeBehind(lab: Lab, wild: WildDomain, nginx: string): Promise<readonly Verdict[]> {
  const { roots, lists, serverCertificate, serverCa } = wild.paths;
  const port = await freePort();
  const socket = join(wild.directory, "redis.sock");
  const atSocket = { "/run/redis/redis.sock": socket };
  const redis = await startRedis(
    wild,
    readBlock(lab, { guide: GUIDE, name: "redis-behind.conf" }, atSocket),
    {
      folder: "redis-behind",
      listensAt: socket,
    },
  );
  const block = readBlock(
    lab,
    { guide: GUIDE, name: "redis-front.conf" },
    { ...roots, ...lists, ...serverCertificate, ...atSocket, "127.0.0.1:6390": `127.0.0.1:${port}` },
  );
  const directory = join(wild.directory, "nginx");
  const client = readBlock(
    lab,
    { guide: GUIDE, name: "client-front.sh" },
    { ...serverCa, "-p 6390": `-p ${port}` },
  );
  try {
    const front = await startNginx({ nginx, directory, inside: "stream", block, port });
    try {
      const refresh = () => front.reload();
      return await letCallersTry(wild, { name: "redis-cli to nginx", client, success: SUCCESS, refresh });
    } finally {
      await front.stop();
    }
  } finally {
    await redis.stop();
  }
}

/** Runs behind the other, so that the revoked one has been revoked and is let in nevertheless. */
async function judgeAlone(lab: Lab, wild: WildDomain): Promise<readonly Verdict[]> {
  const { roots, serverCertificate, serverCa } = wild.paths;
  const port = await freePort();
  const configuration = readBlock(
    lab,
    { guide: GUIDE, name: "redis.conf" },
    { ...roots, ...serverCertificate, "tls-port 6380": `tls-port ${port}\nbind 127.0.0.1` },
  );
  const client = readBlock(
    lab,
    { guide: GUIDE, name: "client.sh" },
    { ...serverCa, "-p 6380": `-p ${port}` },
  );
  const redis = await startRedis(wild, configuration, { folder: "redis-alone", listensAt: port });
  try {
    return await letCallersTry(wild, {
      name: "redis-cli to Redis",
      client,
      success: SUCCESS,
      // What the guide says that Redis alone cannot tell.
      expected: { revoked: "accept", "of another class": "accept" },
      refresh: async () => undefined,
      isRevoked: true,
    });
  } finally {
    await redis.stop();
  }
}

async function startRedis(
  wild: WildDomain,
  configuration: string,
  { folder, listensAt }: { readonly folder: string; readonly listensAt: number | string },
): Promise<RunningProgram> {
  const directory = join(wild.directory, folder);
  mkdirSync(directory);
  const file = join(directory, "redis.conf");
  writeFileSync(file, `${configuration}save ""\ndir ${directory}\n`);
  return startProgram("redis-server", [file], { port: listensAt });
}
