/** What a scan misses and what it takes for a secret, counted on files as agents' machines hold them; and that no output shows a value. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createHome, runWarden } from "../testing.ts";
import { HARMLESS, LEAKS, type Sample } from "./corpus.test.support.ts";
import { findSecrets } from "./finding.ts";
import { openFormFinder } from "./known-forms.ts";
import { kindOf } from "./places.ts";

const home = createHome();
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function valuesIn({ path, text }: Sample): Promise<readonly string[]> {
  const form = kindOf(path).form;
  const source = { place: { kind: "file", path }, text } as const;
  const isHistory = path.endsWith(".jsonl");
  const found = await findSecrets(
    { ...source, form: isHistory && form === "text" ? "shell" : form },
    await openFormFinder(),
  );
  return found.map(({ value }) => value);
}

test("the guide says how much it is", () => {
  const guide = readFileSync(new URL("../../docs/guides/scan.md", import.meta.url), "utf8");
  const secrets = LEAKS.flatMap((sample) => sample.secrets).length;
  expect(guide).toContain(
    `${secrets} secrets in ${LEAKS.length} files, all of them found; ${HARMLESS.length} files`,
  );
});

describe("of a corpus of leaks", () => {
  test.each(LEAKS)("each secret of $path is found once, and nothing else", async (sample) => {
    const found = await valuesIn(sample);
    // A form may take the whole address; the secret is in it.
    const missed = sample.secrets.filter((secret) => !found.some((value) => value.includes(secret)));
    const invented = found.filter((value) => !sample.secrets.some((secret) => value.includes(secret)));
    expect({ missed, invented }).toEqual({ missed: [], invented: [] });
    expect(found.length).toBe(sample.secrets.length);
  });

  test.each(HARMLESS)("nothing is found in $path", async (sample) => {
    expect(await valuesIn(sample)).toEqual([]);
  });

  test("the known places of a home lead to them, and no output shows one", async () => {
    for (const { path, text } of LEAKS) {
      mkdirSync(dirname(join(home, path)), { recursive: true });
      writeFileSync(join(home, path), text);
    }
    const secrets = LEAKS.flatMap((sample) => sample.secrets);
    const env = { PATH: process.env.PATH };
    const byPath = await runWarden(home, ["scan", home, "--history", "--json"], env);
    const byPlace = await runWarden(home, ["scan", "--history", "--json"], env);
    expect(JSON.parse(byPath.stdout).findings.length).toBe(secrets.length);
    const inHome = LEAKS.filter(({ path }) => !/^(?:app|work|\.vscode)\//.test(path));
    expect(JSON.parse(byPlace.stdout).findings.length).toBeGreaterThanOrEqual(
      inHome.flatMap((sample) => sample.secrets).length,
    );
    const shown = await Promise.all(
      [[], ["--sarif"]].map((form) => runWarden(home, ["scan", home, "--history", ...form], env)),
    );
    for (const { stdout, stderr } of [byPath, byPlace, ...shown])
      for (const secret of secrets) expect(`${stdout}${stderr}`).not.toContain(secret.slice(0, -4));
  });
});
