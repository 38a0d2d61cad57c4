/** Backups of a world: the files that `warden backup` makes, what is restored of them, and whoever takes them apart. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readFiles } from "../../server/backup/archive.ts";
import { createRecipient, SealedReader } from "../../server/backup/sealed-stream.ts";
import type { World } from "./world.ts";

/** Where the backups of a world are kept, and the key that opens them. Not on the server. */
export interface Vault {
  /** A directory of the world that is neither its data nor its configuration. */
  readonly directory: string;
  readonly publicKey: string;
  readonly privateKey: string;
}

/** Makes a place for backups, and the pair of keys. */
export function openVault(world: World): Vault {
  const directory = join(world.home.dataDir, "..", world.name("vault"));
  mkdirSync(directory);
  const { publicPem, privatePem } = createRecipient();
  const [publicKey, privateKey] = [join(directory, "backup.pub"), join(directory, "backup.key")];
  writeFileSync(publicKey, publicPem);
  writeFileSync(privateKey, privatePem, { mode: 0o600 });
  return { directory, publicKey, privateKey };
}

/** Backs up beside the working server. @returns the file. */
export async function backUp(
  world: World,
  { directory, publicKey }: Vault,
  { isPlain = false }: { readonly isPlain?: boolean } = {},
): Promise<string> {
  const file = join(directory, world.name("backup"));
  await mustRun(world, "backup", ...(isPlain ? ["--plain"] : ["--recipient", publicKey]), file);
  return file;
}

/** Runs a command that has to succeed. */
export async function mustRun(world: World, ...args: readonly string[]): Promise<string> {
  const { exitCode, output } = await world.warden(...args);
  if (exitCode !== 0) throw new Error(`warden ${args[0]}: ${output}`);
  return output;
}

/** Takes a backup apart that is sealed to nobody, by the code that everybody has. */
export async function takeApart(file: string, into: string): Promise<void> {
  const reader = new SealedReader(file, null);
  try {
    mkdirSync(into, { mode: 0o700 });
    await readFiles(reader, into);
  } finally {
    reader.close();
  }
}

/** Every file below a directory. */
export function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What the files below a directory say; one that a running server has taken away meanwhile says nothing. */
export function textsIn(directory: string): readonly string[] {
  return filesIn(directory).flatMap((path) => {
    try {
      return [readFileSync(path, "latin1")];
    } catch (error) {
      if (Object(error).code === "ENOENT") return [];
      throw error;
    }
  });
}
