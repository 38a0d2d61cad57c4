/**
 * The two SDKs have the same public names and error codes: what one has and the other lacks stands, with its reason, in
 * `python/parity.json`, and nothing else does. By text, so that it needs no Python; `python/tests/test_parity.py` asks the
 * Python package itself.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ERRORS } from "@trustwarden/core/error.ts";
import { describe, expect, it } from "vitest";
import { z } from "zod";

const ROOT = join(import.meta.dirname, "..");
const reasons = z.record(z.string(), z.string().min(8));
const parity = z
  .strictObject({
    shared_classes: z.record(z.string(), z.string()),
    no_meaning_in_python: reasons,
    not_yet_in_python: reasons,
    only_in_python: reasons,
  })
  .parse(JSON.parse(read("python/parity.json")));

describe("the TypeScript and the Python SDK", () => {
  const typescript = typescriptNames();
  const python = pythonNames();

  it("are both read", () => {
    expect(typescript.length).toBeGreaterThan(60);
    expect(python.length).toBeGreaterThan(30);
  });

  it("have the same names, but for those that stand in python/parity.json with a reason", () => {
    const shared = new Set(python);
    const missing = typescript.filter((name) => !shared.has(toSnake(name)));
    expect(missing.sort()).toEqual(
      Object.keys({ ...parity.no_meaning_in_python, ...parity.not_yet_in_python }).sort(),
    );
    const known = new Set(typescript.map(toSnake));
    expect(python.filter((name) => !known.has(name)).sort()).toEqual(
      Object.keys(parity.only_in_python).sort(),
    );
  });

  it("have the same codes, statuses and sentences", () => {
    const text = read("python/src/trustwarden/_codes.py");
    const rows = [...text.matchAll(/^ {4}"(\w+)": \((\d+), (".*")\),$/gm)].map(
      ([, code = "", status, message = ""]) => [
        code,
        { status: Number(status), message: JSON.parse(message) },
      ],
    );
    expect(Object.fromEntries(rows)).toEqual(ERRORS);
  });

  it("write the same kinds of control events", () => {
    const list = (text: string, begin: string) =>
      [...(text.split(begin)[1]?.split(/[\])]/)[0] ?? "").matchAll(/"(\w+)"/g)].map(([, kind]) => kind);
    const kinds = list(read("core/event.ts"), "CONTROL_KINDS = [");
    expect(kinds.length).toBeGreaterThan(20);
    expect(list(read("python/src/trustwarden/records.py"), "CONTROL_KINDS = (")).toEqual(kinds);
  });
});

/** Exports, and the members of the classes that both have. */
function typescriptNames(): readonly string[] {
  const exported = [...read("sdk/index.ts").matchAll(/export (?:type )?\{([^}]*)\} from/g)].flatMap(
    ([, names = ""]) => names.split(",").map((name) => name.replace(/^\s*type /, "").trim()),
  );
  const members = Object.entries(parity.shared_classes).flatMap(([name, files]) => {
    const body = bodyOf(
      read(files.split(" ")[0] ?? ""),
      new RegExp(`^export (?:class|interface) ${name} .*\\{$`, "m"),
      /^\}$/m,
    );
    const found = [
      ...body.matchAll(/^ {2}readonly (\w+)\??[ :]/gm),
      ...body.matchAll(/^ {2}(?:static |async |get )*(?!constructor)(\w+)(?:<[^>]*>)?\(/gm),
    ];
    return found.map(([, member]) => `${name}.${member}`);
  });
  return [...exported.filter((name) => name !== ""), ...members];
}

/** The same of the Python package; an asynchronous twin (`acreate` beside `create`) is no name of its own. */
function pythonNames(): readonly string[] {
  const [, list = ""] = read("python/src/trustwarden/__init__.py").split("__all__ = [");
  const exported = [...list.matchAll(/"(\w+)"/g)].map(([, name = ""]) => name);
  const members = Object.entries(parity.shared_classes).flatMap(([name, files]) => {
    const [, ...places] = files.split(" ");
    // What a class inherits stands behind it, as `file#Base`.
    const bodies = places.map((place) => {
      const [path = "", base = name] = place.split("#");
      return bodyOf(read(path), new RegExp(`^class ${base}\\b.*:$`, "m"), /^\S/m);
    });
    const body = bodies.join("\n");
    const found = [
      ...body.matchAll(/^ {4}(?:async )?def ([a-z]\w*)\(/gm),
      ...body.matchAll(/^ {4}([a-z]\w*): [^#\n]+$/gm),
    ].map(([, member = ""]) => member);
    const own = found.filter((member) => !(member.startsWith("a") && found.includes(member.slice(1))));
    return own.map((member) => `${name}.${member}`);
  });
  return [...exported, ...members];
}

function bodyOf(text: string, begin: RegExp, end: RegExp): string {
  const match = begin.exec(text);
  if (match === null) throw new Error(`nothing matches ${begin}`);
  const rest = text.slice(match.index + match[0].length + 1);
  return rest.slice(0, end.exec(rest)?.index);
}

/** `verifyAgent` is `verify_agent`; classes keep their names, and so does the part before a member. */
function toSnake(name: string): string {
  const [owner, member] = name.split(".");
  const snake = (text: string) => text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  if (member !== undefined) return `${owner}.${snake(member)}`;
  return /^[a-z]/.test(name) ? snake(name) : name;
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}
