/** A program as anybody writes one: goes out by the proxy that its environment names, and says what came of it. */
import { request } from "node:http";

const { HTTPS_PROXY = "", NO_PROXY = "" } = process.env;
const [place = "", other = ""] = process.argv.slice(2);
const say = (/** @type {unknown} */ value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** @param {string} target */
function open(target) {
  const { hostname, port } = new URL(HTTPS_PROXY);
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: hostname, port, method: "CONNECT", path: target });
    outgoing.on("connect", ({ statusCode }, socket) => resolve({ statusCode, socket }));
    outgoing.on("error", reject);
    outgoing.end();
  });
}

say({ proxy: HTTPS_PROXY, without: NO_PROXY });
const { statusCode, socket } = await open(place);
say({ status: statusCode });
socket.on("error", () => undefined);
socket.write("through");
await new Promise((resolve) =>
  socket.once("data", (/** @type {Buffer} */ part) => resolve(say({ echoed: part.toString() }))),
);
socket.once("close", () => say({ cut: true }));
const refused = await open(other);
say({ status: refused.statusCode });
refused.socket.destroy();
setTimeout(() => undefined, 60_000);
