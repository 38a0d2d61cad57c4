/** A real `nats-server` of Debian, over TLS, with logins that may use one subject, and gone with the test. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePort } from "./free-port.ts";
import { createWebCertificate } from "./web-certificate.ts";

const PROGRAM = "/usr/sbin/nats-server";
const SUBJECT = "trustwarden.test";
const PASSWORD = "of the notices";
const TRIES = 200;
const PAUSE_MS = 25;

/** What a test without it says. */
export const HAS_NATS = existsSync(PROGRAM);

export interface TestNats {
  readonly port: number;
  /** `state.notices` of a server. */
  readonly settings: {
    readonly kind: "nats";
    readonly servers: string[];
    readonly subject: string;
    readonly user: string;
    readonly passwordFile: string;
    readonly tls: { readonly caFile: string };
  };
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Logins: `warden`, which may use the subject, and `stranger`, which may not; both with the same password. */
export async function startNats({ hasTls = true } = {}): Promise<TestNats> {
  const folder = mkdtempSync(join(tmpdir(), "tw-nats-"));
  const web = createWebCertificate();
  const port = await freePort();
  const write = (name: string, text: string | Uint8Array): string => {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const passwordFile = write("password", `${PASSWORD}\n`);
  const config = write("nats.conf", configOf({ port, tls: hasTls ? web : null }));
  const begin = async () => {
    const child = spawn(PROGRAM, ["-c", config], { stdio: "ignore" });
    await waitForListener(port);
    return async () => {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    };
  };
  let end: (() => Promise<void>) | undefined = await begin();
  const stop = async () => {
    await end?.();
    end = undefined;
  };
  return {
    port,
    settings: {
      kind: "nats",
      servers: [`localhost:${port}`],
      subject: SUBJECT,
      user: "warden",
      passwordFile,
      tls: { caFile: write("ca.pem", web.ca) },
    },
    stop,
    start: async () => {
      end ??= await begin();
    },
    close: async () => {
      await stop();
      web.remove();
      rmSync(folder, { recursive: true });
    },
  };
}

function configOf({
  port,
  tls,
}: {
  readonly port: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
}): string {
  const own = JSON.stringify(`${SUBJECT}.>`);
  const may = `{ publish: [${own}], subscribe: [${own}] }`;
  const other = `{ publish: ["other.>"], subscribe: ["other.>"] }`;
  return [
    `listen: "127.0.0.1:${port}"`,
    tls === null
      ? ""
      : `tls { cert_file: ${JSON.stringify(tls.certFile)}, key_file: ${JSON.stringify(tls.keyFile)} }`,
    "authorization { users = [",
    `  { user: warden, password: ${JSON.stringify(PASSWORD)}, permissions: ${may} }`,
    `  { user: stranger, password: ${JSON.stringify(PASSWORD)}, permissions: ${other} }`,
    "] }",
  ].join("\n");
}

async function waitForListener(port: number): Promise<void> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const socket = connect({ port, host: "127.0.0.1" });
    const isThere = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "error").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (isThere) return;
    await setTimeout(PAUSE_MS);
  }
  throw new Error("nats-server does not listen");
}
