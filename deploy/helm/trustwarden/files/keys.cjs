// The keys that every server of a deployment has: out of the first one's directories as JSON, and into those of another, which has
// none yet. `keys.cjs out` and `keys.cjs in <file>`; the environment says where the directories are. What belongs to one server
// alone (marks, seals, settings, owners' keys) stays where it is. It is secret: whoever reads it is the authority.
const { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } = require("node:fs");
const { dirname, join } = require("node:path");

const places = { data: process.env.TRUSTWARDEN_DATA_DIR, config: process.env.TRUSTWARDEN_CONFIG_DIR };
const OF_ONE_SERVER = /\.(?:high-water|state-seal|json|new|tmp)$/;

function filesBelow(directory, within = "") {
  if (!existsSync(join(directory, within))) return [];
  return readdirSync(join(directory, within), { withFileTypes: true }).flatMap((entry) => {
    const path = join(within, entry.name);
    return entry.isDirectory() ? filesBelow(directory, path) : [path];
  });
}

function read(place, paths) {
  return paths.map((path) => [`${place}/${path}`, readFileSync(join(places[place], path), "base64")]);
}

function out() {
  const data = filesBelow(places.data).filter((path) => path === "trust-domain" || path.startsWith("keys/"));
  const config = filesBelow(places.config).filter(
    (path) => !path.startsWith("owners/") && !OF_ONE_SERVER.test(path),
  );
  process.stdout.write(
    `${JSON.stringify(Object.fromEntries([...read("data", data), ...read("config", config)]))}\n`,
  );
}

function lay(file) {
  if (existsSync(join(places.data, "trust-domain"))) return;
  // What says that the directory is in use comes last: a start that was cut off lays everything again.
  const files = Object.entries(JSON.parse(readFileSync(file, "utf8"))).sort(([one], [other]) =>
    one === "data/trust-domain" ? 1 : other === "data/trust-domain" ? -1 : 0,
  );
  for (const [name, content] of files) {
    const [, place, path] = /^(data|config)\/((?:[\w.-]+\/)*[\w.-]+)$/.exec(name) ?? [];
    if (path === undefined || path.split("/").includes("..")) throw new Error(`not a file of ours: ${name}`);
    const at = join(places[place], path);
    mkdirSync(dirname(at), { recursive: true, mode: 0o700 });
    writeFileSync(at, Buffer.from(content, "base64"), { mode: 0o600 });
    chmodSync(at, 0o600);
  }
}

const [, , mode, file] = process.argv;
if (mode === "out") out();
else if (mode === "in" && file !== undefined) lay(file);
else throw new Error("keys.cjs out, or keys.cjs in <file>");
