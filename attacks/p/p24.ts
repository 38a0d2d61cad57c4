/** P24: commits that try to reach a repository without a signature that somebody decided. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { ROOT } from "../support/child.ts";
import type { World } from "../support/world.ts";

/** The words that the steps below are written in; what came of each push ends up in `said`. */
const WORDS = `
set -u
said=""
git() { command git -c user.name=coder -c user.email=coder@acme.test -c gpg.format=x509 \\
  -c gpg.x509.program="$PWD/../sign" -c user.signingkey=tools -c advice.detachedHead=false "$@"; }
push() { name=$1; shift
  if out=$(git push --quiet origin "$@" 2>&1); then what=taken
  else case $out in *push_refused*) what=refused;; *) what=broken;; esac; fi
  echo "$out" >&2; said="$said\${said:+,}\\"$name\\":\\"$what\\""; }
commit() { git commit --quiet --allow-empty -m "$@" >&2 || echo "no commit: $*" >&2; }
git clone --quiet tools.git "$1" >&2; cd "$1"`;
const HONEST = `
commit honest -S; push honest HEAD:refs/heads/main`;
const ATTACK = `
commit unsigned --no-gpg-sign; push unsigned HEAD:refs/heads/main
commit over -S; push below HEAD:refs/heads/main
git checkout --quiet -B clean origin/main
commit clean -S; push elsewhere HEAD:refs/heads/release`;
const SAY = `
printf '{"ready":true,"said":{%s}}\\n' "$said"`;

interface Scene {
  readonly bare: string;
  readonly directory: string;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P24",
  title: "pushes commits by real git: unsigned, below a signed one, to a ref beyond its scope",
  expected: "the hook refuses each, and no ref moves",
  weakening: "any-commit-counts",
  missing: () => (spawnSync("git", ["--version"]).status === 0 ? undefined : "git"),
  world: {},
  mayChange: ["agents", "epoch", "liveInstances", "registry"],
  prepare: async (world): Promise<Scene> => {
    const made = await world.warden("owner", "create", "walter");
    if (made.exitCode !== 0) throw new Error(made.output);
    const directory = join(world.home.dataDir, "..", "git");
    const bare = join(directory, "tools.git");
    mkdirSync(directory);
    execFileSync("git", ["init", "--quiet", "--bare", "--initial-branch=main", bare]);
    const { dataDir, configDir } = world.home;
    const place = `--data "${dataDir}" --config-dir "${configDir}"`;
    script(join(bare, "hooks/pre-receive"), world, `git-hook pre-receive --repo tools ${place}`);
    script(join(directory, "sign"), world, 'git-sign --repo tools "$@"');
    return { bare, directory };
  },
  control: async (world, scene) => {
    expectSame(await work(world, scene, "honest", HONEST), { honest: "taken" }, "what an agent may push");
  },
  attack: async (world, scene) => {
    const before = refsOf(scene);
    expect(before.includes("refs/heads/main"), "the repository has what the agent pushed");
    const said = await work(world, scene, "attack", ATTACK);
    const refused = ["unsigned", "below", "elsewhere"].map((name) => [name, "refused"]);
    expectSame(said, Object.fromEntries(refused), "what was said of each push");
    expectSame(refsOf(scene), before, "the refs of the repository");
  },
  evidence: async (ledger) => {
    const signed = { kind: "action", principal: /\/coder\/inst-/ };
    const records = await ledger.expect({ ...signed, outcome: "success" }, 2);
    for (const { action, resource } of records)
      expect(
        action === "sign:git:tools" && resource?.startsWith("git://tools/commit/") === true,
        `a signature is recorded with what it is of: ${action} ${resource}`,
      );
  },
});

/** A program of git's that starts `warden`, as weak as the world. */
function script(path: string, { weaken }: World, command: string): void {
  const weak = weaken.length === 0 ? "" : `TW_WEAKEN=${weaken.join()} `;
  const load = weaken.length === 0 ? "" : `--import "${join(ROOT, "attacks/weaken.ts")}" `;
  const program = `"${process.execPath}" ${load}"${join(ROOT, "cli/main.ts")}"`;
  writeFileSync(path, `#!/bin/sh\n${weak}exec ${program} ${command}\n`, { mode: 0o755 });
}

/** An agent that is launched to commit and push. @param clone - of its own. @returns what was said of each push. */
async function work(world: World, { directory }: Scene, clone: string, steps: string): Promise<object> {
  const { dataDir, configDir } = world.home;
  const who = ["--owner", "walter", "--agent", "coder"];
  const scope = ["--scope", "sign:git:tools", "--scope", "push:git:tools/refs/heads/main"];
  const command = ["--", "sh", "-c", `${WORDS}${steps}${SAY}`, "sh", clone];
  const places = ["--data", dataDir, "--config-dir", configDir];
  const child = await world.launch({
    args: ["cli/main.ts", "run", ...places, ...who, ...scope, ...command],
    env: { HOME: directory },
    cwd: directory,
  });
  await child.exited;
  return Object(child.ready.said);
}

function refsOf({ bare }: Scene): string {
  return execFileSync("git", ["-C", bare, "for-each-ref"], { encoding: "utf8" });
}
