/**
 * Inside of a network namespace that has nothing but its own loopback: runs a program, and passes its connections through Unix
 * sockets, the only way out and in. `node in-namespace.ts <folder> <port>,<port> <program> <argument>…`
 *
 * Out: whoever connects to one of the ports here gets to `<folder>/out-<port>`. In: whoever connects to `<folder>/in` says a
 * port in a line of its own, and gets to it.
 *
 * @see namespace.ts, which is the other end
 */
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { joinSockets, readPort } from "./namespace.ts";

const [folder = "", ports = "", program = "", ...args] = process.argv.slice(2);

for (const port of ports.split(","))
  createServer({ allowHalfOpen: true }, (near) =>
    joinSockets(near, connect(join(folder, `out-${port}`))),
  ).listen(Number(port), "127.0.0.1");
// Of the process before, which was killed.
rmSync(join(folder, "in"), { force: true });
createServer({ allowHalfOpen: true }, (near) =>
  readPort(near, (port) => joinSockets(near, connect({ port, host: "127.0.0.1" }))),
).listen(join(folder, "in"));

const child = spawn(program, args, { stdio: "inherit" });
child.once("exit", (code) => process.exit(code ?? 1));
