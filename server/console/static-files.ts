/**
 * The built files of the console, read once into memory: pages and scripts, and nothing that was not there at the start.
 *
 * Files with a hash in their name never change and are kept by browsers; the page that names them is asked for each time.
 * Without a build there is a page that says how to make one: a server works without its console.
 */
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RawAnswer } from "../http/route.ts";

/** Where `./dev console` builds to. */
const BUILT = fileURLToPath(new URL("../../.cache/console/dist", import.meta.url));
/** Far more than a build makes; another folder would be a mistake. */
const MAX_FILES = 200;
const MAX_FILE_BYTES = 8_000_000;
const HASHED = "public, max-age=31536000, immutable";
const ASKED_EACH_TIME = "no-store";
const PAGE = "index.html";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

const NOT_BUILT = encodeUtf8(
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>TrustWarden</title>
<main><h1>The console is not built</h1><p>Run <code>./dev console</code> in the checkout, then start the server again.
Everything else works without it.</p></main></html>`,
);

/** Answers for paths below `/app/`. */
export interface ConsoleFiles {
  /** Whether there is a build. */
  readonly isBuilt: boolean;
  /** @throws TrustWardenError `not_found` for a file that is not of the build. */
  read(path: string): RawAnswer;
}

/** Reads a build. @param directory - where it is, if not in the checkout. */
export function readConsoleFiles(directory: string = BUILT): ConsoleFiles {
  const files = readBuild(directory);
  const page = files.get(PAGE) ?? NOT_BUILT;
  return {
    isBuilt: files.has(PAGE),
    read(path) {
      const content = files.get(path);
      if (content !== undefined && path !== PAGE) return answerOf(path, content);
      // Addresses of screens are made by the page itself; what looks like a file and is none is not there.
      if (path !== PAGE && extname(path) !== "") throw new TrustWardenError("not_found");
      return answerOf(PAGE, page);
    },
  };
}

function answerOf(path: string, content: Uint8Array): RawAnswer {
  return {
    isRaw: true,
    contentType: TYPES[extname(path)] ?? "application/octet-stream",
    cacheControl: path.startsWith("assets/") ? HASHED : ASKED_EACH_TIME,
    content,
  };
}

function readBuild(directory: string): ReadonlyMap<string, Uint8Array> {
  const paths = listFiles(directory);
  if (paths.length > MAX_FILES)
    throw new TrustWardenError("config_invalid", { setting: "console", reason: "files" });
  return new Map(
    paths.map((path) => {
      const bytes = new Uint8Array(readFileSync(path));
      if (bytes.length > MAX_FILE_BYTES)
        throw new TrustWardenError("config_invalid", { setting: "console", path });
      return [relative(directory, path).replaceAll("\\", "/"), bytes];
    }),
  );
}

/** A folder that is not there is a console that was not built. */
function listFiles(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
