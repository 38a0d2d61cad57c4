/**
 * `warden relay`: a process that holds one lease of the server and gives it on, for more verifiers than one server can
 * keep. An operator approves each relay by a single-use ticket.
 */
import { ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { parseTtl } from "@trustwarden/core/ttl.ts";
import type { Command } from "commander";
import { askedToEnd } from "../asked-to-end.ts";
import { examples, type Runtime, repeatable, runCommand, type Session, wholeNumber } from "../command.ts";
import { listenOn, parseListen } from "../listen.ts";

const DEFAULT_LISTEN = "127.0.0.1:7470";
const DEFAULT_STATUS_SECONDS = 10;

interface ServeOptions {
  readonly listen: string;
  readonly allowExternal?: true;
  readonly upstream?: readonly string[];
  readonly statusEvery: number;
}

export function addRelayCommands(program: Command, runtime: Runtime): void {
  const relay = program
    .command("relay")
    .description(
      "give the server's lease on to verifiers: for more of them than one server can keep (about 1,000)",
    )
    .addHelpText(
      "after",
      examples(
        "warden relay ticket --name rack-7                                    # where the server runs",
        "TRUSTWARDEN_TICKET=tw1.… warden relay serve --listen 10.0.7.1:7470 --allow-external",
        "TRUSTWARDEN_RELAYS=https://10.0.7.1:7470,https://10.0.8.1:7470 node service.ts   # the verifiers",
      ),
    );
  addTicketCommand(relay, runtime);
  addServeCommand(relay, runtime);
}

function addTicketCommand(relay: Command, runtime: Runtime): void {
  relay
    .command("ticket")
    .description("approve one relay: prints the ticket that it enrols with, once")
    .requiredOption("--name <name>", "of the relay, such as rack-7")
    .option("--ttl <time>", "lifetime of the relay's instance", "24h")
    .addHelpText(
      "after",
      examples("warden relay ticket --name rack-7", "warden relay ticket --name rack-7 --ttl 7d"),
    )
    .action((options: { readonly name: string; readonly ttl: string }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "No relay ticket was made.",
        run: async ({ client, output }) => {
          const body = { name: options.name, ttl_seconds: parseTtl(options.ttl), relay: true };
          const answer = await client.post({ target: "/v1/verifier-tickets", body, schema: ticketAnswer });
          output.show(answer, [`TRUSTWARDEN_TICKET=${answer.ticket}`]);
        },
      }),
    );
}

function addServeCommand(relay: Command, runtime: Runtime): void {
  relay
    .command("serve")
    .description(
      "run a relay until SIGTERM or SIGINT; a JSON line when ready, and one of its state every few seconds",
    )
    .option("--listen <host:port>", "where verifiers come; port 0 for any free one", DEFAULT_LISTEN)
    .option("--allow-external", "permit an address beyond loopback")
    .addOption(repeatable("--upstream <url>", "a relay to follow instead of the server; may be repeated"))
    .option("--status-every <seconds>", "0 for never", wholeNumber(0, 86_400), DEFAULT_STATUS_SECONDS)
    .addHelpText(
      "after",
      examples(
        "TRUSTWARDEN_TICKET=tw1.… warden relay serve",
        "TRUSTWARDEN_TICKET=tw1.… warden relay serve --upstream https://10.0.0.2:7470 --status-every 60",
      ),
    )
    .action((options: ServeOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The relay did not start, or did not stop cleanly.",
        run: (session) => serve(session, options),
      }),
    );
}

async function serve({ io }: Session, options: ServeOptions): Promise<void> {
  const place = parseListen(options);
  const statusSeconds = options.statusEvery;
  const { startRelay } = await import("../relay/relay.ts");
  const relay = await startRelay({
    ticket: io.env.TRUSTWARDEN_TICKET,
    upstream: options.upstream ?? [],
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    const { host, port } = await listenOn(relay.server, place);
    const ending = askedToEnd();
    const say = (facts: object) => io.stdout(`${JSON.stringify(facts)}\n`);
    say({ ready: true, url: `https://${host}:${port}`, ...relay.status() });
    if (statusSeconds > 0) timer = setInterval(() => say(relay.status()), statusSeconds * 1000);
    await ending;
  } finally {
    clearInterval(timer);
    await relay.close();
  }
}
