/** OpenSSL: `verify` on our chains, and `s_client` in a TLS 1.3 conversation with a listener that has our SVIDs. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { breakChains } from "./broken-chains.ts";
import { runCommand } from "./command.ts";
import { createDomain, type Domain, encodePkcs8, formatPem, type IssuedSvid, issueSvid } from "./domain.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { requireProgram } from "./tools.ts";

const TIMEOUT_MS = 10_000;
const DAY_SECONDS = 86_400;
const PATH = ["team", "pay", "inst-1"];
const GREETING = "hello from the other side";

/** Broken chains that only a SPIFFE verifier can tell: OpenSSL does not read the ids in them. */
const SPIFFE_ONLY =
  /two URIs|without a name|without a path|another trust domain's name|climbs|percent-encoded|web address|cRLSign|cA=true|keyCertSign|authority as leaf|without KeyUsage/;

export const opensslJudge: Judge = { name: "openssl verify and s_client", run: judgeOpenssl };

interface Parties {
  readonly lab: Lab;
  readonly domain: Domain;
  readonly other: Domain;
  /** Unix seconds. */
  readonly now: number;
}

async function judgeOpenssl(lab: Lab): Promise<Findings> {
  const version = await requireProgram("openssl", ["version"], "install OpenSSL 3");
  const now = Math.floor(Date.now() / 1000);
  const parties: Parties = {
    lab,
    now,
    domain: createDomain("acme.test", now),
    other: createDomain("other.test", now),
  };
  const verdicts = [...(await verifyChains(parties)), ...(await converse(parties))];
  return countVerdicts(verdicts, version.split(" ").slice(0, 2).join(" "));
}

async function verifyChains({ lab, domain, other, now }: Parties): Promise<readonly Verdict[]> {
  const { chain } = issueSvid(domain, PATH, now);
  const good = ["sslclient", "sslserver"].map((purpose) =>
    verify({
      lab,
      name: `chain as ${purpose}`,
      expected: "accept",
      chain,
      root: domain.root.der,
      at: now,
      purpose,
    }),
  );
  const foreign = verify({
    lab,
    name: "chain under a foreign root",
    expected: "refuse",
    chain,
    root: other.root.der,
    at: now,
  });
  const broken = breakChains(domain, other, now)
    .filter(({ name }) => !SPIFFE_ONLY.test(name))
    .map((one) => verify({ lab, expected: "refuse", root: domain.root.der, ...one }));
  return Promise.all([...good, foreign, ...broken]);
}

async function verify(options: {
  readonly lab: Lab;
  readonly name: string;
  readonly expected: "accept" | "refuse";
  /** Leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly root: Uint8Array;
  readonly at: number;
  readonly purpose?: string;
}): Promise<Verdict> {
  const { lab, name, expected, chain, root, at, purpose = "sslserver" } = options;
  const [leaf, ...issuers] = chain;
  const files = { root: [root], leaf: leaf === undefined ? [] : [leaf], issuers };
  const file = (part: keyof typeof files) =>
    join(lab.scratch, `${name}-${part}.pem`.replaceAll(/[^\w.-]/g, "_"));
  writeFileSync(file("root"), formatPem(files.root));
  writeFileSync(file("leaf"), formatPem(files.leaf));
  writeFileSync(file("issuers"), formatPem(files.issuers));
  const untrusted = issuers.length === 0 ? [] : ["-untrusted", file("issuers")];
  const trust = ["-no-CApath", "-no-CAstore", "-CAfile", file("root"), ...untrusted];
  const rules = ["-x509_strict", "-purpose", purpose, "-attime", String(at)];
  const { code, stdout, stderr } = await runCommand("openssl", ["verify", ...trust, ...rules, file("leaf")], {
    timeoutMs: TIMEOUT_MS,
  });
  return {
    name,
    expected,
    isAccepted: code === 0 && stdout.trim().endsWith(": OK"),
    said: stderr.trim() || stdout.trim(),
  };
}

/** Who listens, who calls, and which root the caller trusts. */
interface Conversation {
  readonly name: string;
  readonly expected: "accept" | "refuse";
  readonly listener: IssuedSvid;
  readonly caller?: IssuedSvid;
  readonly root: Uint8Array;
  readonly protocol?: string;
}

async function converse({ lab, domain, other, now }: Parties): Promise<readonly Verdict[]> {
  const listener = issueSvid(domain, ["forum", "inst-1"], now);
  const caller = issueSvid(domain, PATH, now);
  const root = domain.root.der;
  const stale = issueSvid(domain, ["forum", "inst-2"], now - DAY_SECONDS / 2);
  const conversations: readonly Conversation[] = [
    { name: "mutual TLS 1.3 with our SVIDs", expected: "accept", listener, caller, root },
    { name: "a listener under a foreign root", expected: "refuse", listener, caller, root: other.root.der },
    { name: "a listener with an expired SVID", expected: "refuse", listener: stale, caller, root },
    {
      name: "a listener of another trust domain",
      expected: "refuse",
      listener: issueSvid(other, PATH, now),
      caller,
      root,
    },
    { name: "a caller without an SVID", expected: "refuse", listener, root },
    {
      name: "a caller of another trust domain",
      expected: "refuse",
      listener,
      caller: issueSvid(other, PATH, now),
      root,
    },
    {
      name: "a caller with an expired SVID",
      expected: "refuse",
      listener,
      caller: issueSvid(domain, PATH, now - DAY_SECONDS / 2),
      root,
    },
    {
      name: "a caller that offers TLS 1.2 only",
      expected: "refuse",
      listener,
      caller,
      root,
      protocol: "-tls1_2",
    },
  ];
  const verdicts: Verdict[] = [];
  for (const [index, one] of conversations.entries()) {
    const server = await listen(one.listener, domain);
    try {
      verdicts.push(await call({ ...one, lab, index, server }));
    } finally {
      server.close();
    }
  }
  return verdicts;
}

/** A listener as the server runs it: the peer's raw chain is verified by our own code before a byte is said. */
async function listen({ chain, signer }: IssuedSvid, domain: Domain): Promise<Server> {
  const key = signer.privateKey.export({ type: "pkcs8", format: "pem" });
  const server = createServer(
    { key, cert: formatPem(chain), minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: false },
    (socket) => {
      socket.on("error", () => undefined);
      try {
        const peer = socket.getPeerX509Certificate();
        const presented = [peer, peer?.issuerCertificate].flatMap((one) =>
          one === undefined ? [] : [one.raw],
        );
        const now = Math.floor(Date.now() / 1000);
        const { id } = verifyX509Svid(presented, new Map([[domain.trustDomain, domain.bundle]]), now);
        socket.end(`${GREETING} ${id}\n`);
      } catch (error) {
        if (!(error instanceof TrustWardenError)) throw error;
        socket.destroy();
      }
    },
  );
  // A handshake that the caller gives up is what some of these are about.
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function call(
  options: Conversation & { readonly lab: Lab; readonly index: number; readonly server: Server },
): Promise<Verdict> {
  const { name, expected, caller, root, protocol = "-tls1_3", lab, index, server } = options;
  const file = (part: string) => join(lab.scratch, `call-${index}-${part}`);
  writeFileSync(file("root.pem"), formatPem([root]));
  const identity =
    caller === undefined
      ? []
      : [
          "-cert",
          file("leaf.pem"),
          "-key",
          file("key.der"),
          "-keyform",
          "DER",
          "-cert_chain",
          file("chain.pem"),
        ];
  if (caller !== undefined) {
    writeFileSync(file("leaf.pem"), formatPem(caller.chain.slice(0, 1)));
    writeFileSync(file("chain.pem"), formatPem(caller.chain.slice(1)));
    writeFileSync(file("key.der"), encodePkcs8(caller.signer), { mode: 0o600 });
  }
  const trust = [
    "-verify_return_error",
    "-x509_strict",
    "-no-CApath",
    "-no-CAstore",
    "-CAfile",
    file("root.pem"),
  ];
  const target = ["-connect", `127.0.0.1:${portOf(server)}`, protocol, "-quiet"];
  const { stdout, stderr } = await runCommand("openssl", ["s_client", ...target, ...trust, ...identity], {
    timeoutMs: TIMEOUT_MS,
  });
  const isAccepted = stdout.includes(`${GREETING} ${caller?.id}`);
  return { name, expected, isAccepted, said: stderr.trim().split("\n").slice(-3).join(" | ") };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return address.port;
}
