/**
 * The build of the console: one page, hashed files, nothing inline and nothing from elsewhere, so that the strictest
 * content security policy holds. Two files of the core are replaced by the browser's own.
 */
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What the core asks of Node, and what stands in its place. */
const REPLACED: Readonly<Record<string, string>> = {
  [here("../core/bytes.ts")]: here("src/verify/bytes.ts"),
  [here("../core/crypto.ts")]: here("src/verify/crypto.ts"),
};

/** The verifier of the SDK, over the browser's bytes and hashes. */
function browserCore(): Plugin {
  return {
    name: "trustwarden-browser-core",
    enforce: "pre",
    async resolveId(source, importer, options) {
      if (!/(bytes|crypto)\.ts$/.test(source)) return null;
      const resolved = await this.resolve(source, importer, { ...options, skipSelf: true });
      return resolved === null ? null : (REPLACED[resolved.id] ?? null);
    },
  };
}

export default defineConfig({
  root: here("."),
  base: "/app/",
  plugins: [browserCore()],
  publicDir: here("public"),
  build: {
    target: "es2024",
    outDir: here("../.cache/console/dist"),
    emptyOutDir: true,
    // Files that are inlined as data: URLs would need a looser policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 800,
    reportCompressedSize: false,
    rolldownOptions: {
      // Libraries mark what a server must not render; nothing is rendered on one here.
      onLog: (level, log, next) => {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") next(level, log);
      },
    },
  },
});
