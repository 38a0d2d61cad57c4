/**
 * `warden git-hook`: a repository's own door. Every commit that a push brings has to be signed by a live agent instance
 * whose whole chain may push to that ref, and the ledger has to hold that this very signature was decided; who leaves the
 * signature out, or makes it with the bare key, gains nothing. That the repository has a commit already says nothing about
 * this ref: what the ref comes to point to is always somebody's who may push it now. What lies below it may be older than
 * its signer's life: then the record says that it was made within it.
 *
 * The server is asked for the trust bundle and for each signer, as the operator on its machine or as an owner (`--as`),
 * which the ledger records. Without an answer nothing is taken.
 */
import { readFileSync } from "node:fs";
import { type ActionName, parseActionName } from "@trustwarden/core/action.ts";
import { splitSigned } from "@trustwarden/core/agentid/git-signature.ts";
import { parseTrustDomain, type TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isCovered, parseScope } from "@trustwarden/core/scope.ts";
import type { Command } from "commander";
import { type AgentInstance, findAgent } from "../agents.ts";
import type { Client } from "../client.ts";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { isCreation, isDeletion, parseRefUpdate, ReceivedObjects, type RefUpdate } from "../git/objects.ts";
import { isSignerInForce, isSigningRecorded } from "../git/records.ts";
import { signingOf } from "../git/signing.ts";
import { type GitSignature, verifyGitSignature } from "../git/verify.ts";

/** Refs in one push. */
const MAX_REFS = 100;
/** Tags in one another. */
const MAX_TAGS = 8;
const STDIN = 0;

interface HookOptions {
  readonly repo: string;
}

/** What one push is checked against; signers are asked about once. */
interface Gate {
  readonly repo: string;
  readonly objects: ReceivedObjects;
  readonly client: Client;
  readonly bundles: ReadonlyMap<TrustDomain, TrustBundle>;
  /** Unix seconds. */
  readonly now: number;
  readonly signers: Map<string, Promise<AgentInstance>>;
}

export function addGitHookCommands(program: Command, runtime: Runtime): void {
  const hook = program
    .command("git-hook")
    .description("server-side hooks of git that refuse unsigned and out-of-scope pushes")
    .addHelpText("after", examples("exec warden git-hook pre-receive --repo tools   # hooks/pre-receive"));
  hook
    .command("pre-receive")
    .description("checks a whole push; git gives the refs on standard input")
    .requiredOption("--repo <name>", "as scopes name it: push:git:<name>/refs/heads/main")
    .addHelpText("after", examples("warden git-hook pre-receive --repo tools --as alice"))
    .action((options: HookOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The push is refused.",
        run: async (session) => {
          const lines = readFileSync(STDIN, "utf8").split("\n").filter(Boolean);
          if (lines.length > MAX_REFS)
            throw new TrustWardenError("request_too_large", { refs: lines.length });
          const updates = lines.map((line) => parseRefUpdate(line.split(" ")));
          await requireUpdates(session, options, updates);
        },
      }),
    );
  hook
    .command("update")
    .description("checks one ref")
    .argument("<ref>")
    .argument("<old>")
    .argument("<new>")
    .requiredOption("--repo <name>", "as scopes name it: push:git:<name>/refs/heads/main")
    .addHelpText("after", examples('exec warden git-hook update --repo tools "$@"   # hooks/update'))
    .action((ref: string, before: string, after: string, options: HookOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The push to ${ref} is refused.`,
        run: (session) => requireUpdates(session, options, [parseRefUpdate([before, after, ref])]),
      }),
    );
}

async function requireUpdates(
  { client, io, output }: Session,
  { repo }: HookOptions,
  updates: readonly RefUpdate[],
): Promise<void> {
  const { trust_domain } = await client.get("/.well-known/trustwarden", discovery);
  const trustDomain = parseTrustDomain(trust_domain);
  const bundle = parseTrustBundle(await client.getText("/v1/bundle"), trustDomain);
  const gate = {
    repo,
    objects: new ReceivedObjects(io.env),
    client,
    bundles: new Map([[trustDomain, bundle]]),
    now: Math.floor(io.nowMs() / 1000),
    signers: new Map(),
  };
  for (const update of updates) await requireUpdate(gate, update);
  output.note(
    `warden: ${updates.length} ref${updates.length === 1 ? "" : "s"} checked, every new commit is signed.`,
  );
}

async function requireUpdate(gate: Gate, update: RefUpdate): Promise<void> {
  const { ref, before, after } = update;
  const { objects } = gate;
  if (isDeletion(update)) throw refused("taking a ref away is signed by nobody", ref);
  if (!isCreation(update) && !objects.isAncestor(before, after)) throw refused("it takes commits away", ref);
  const action = parseActionName(`push:git:${gate.repo}/${ref}`);
  const { tags, commit } = peel(objects, update);
  for (const id of tags) await requireSigner(gate, { kind: "tag", id, action, isTip: true });
  // A tag answers for the commit that it names; without one the commit is what the ref points to.
  const brought = new Set([...objects.newToRepository(commit), ...(tags.length === 0 ? [commit] : [])]);
  for (const id of brought) {
    const isTip = id === commit && tags.length === 0;
    await requireSigner(gate, { kind: "commit", id, action, isTip });
  }
  // Asked about when another ref took them: their signers may have gone since, or may push that ref only.
  const known = [commit, ...(isCreation(update) ? [] : objects.newToRef(update))];
  for (const id of known) if (!brought.has(id)) signatureOf(gate, { kind: "commit", id });
}

/** The tags from the ref down to its commit, outermost first. */
function peel(
  objects: ReceivedObjects,
  { ref, after }: RefUpdate,
): { readonly tags: readonly string[]; readonly commit: string } {
  const tags: string[] = [];
  let id = after;
  for (let kind = objects.kindOf(id); kind !== "commit"; kind = objects.kindOf(id)) {
    if (kind !== "tag" || tags.length === MAX_TAGS) throw refused(`a ref that points to a ${kind}`, ref);
    tags.push(id);
    id = objects.targetOf(id);
  }
  return { tags, commit: id };
}

interface SignedObject {
  readonly kind: "commit" | "tag";
  readonly id: string;
}

/** @throws TrustWardenError unless an agent's signature is on it; whether the agent still lives is not asked. */
function signatureOf(
  gate: Gate,
  { kind, id }: SignedObject,
): { readonly signed: GitSignature; readonly payload: Uint8Array } {
  const { payload: text, signature } = splitSigned(kind, gate.objects.read(kind, id));
  if (signature === null) throw refused("it is not signed by an agent", nameOf({ kind, id }));
  const payload = Buffer.from(text, "latin1");
  return { signed: verifyGitSignature(signature, payload, gate), payload };
}

/** @throws TrustWardenError unless the signature was decided, and its signer may do this. */
async function requireSigner(
  gate: Gate,
  { action, isTip, ...object }: SignedObject & { readonly action: ActionName; readonly isTip: boolean },
): Promise<void> {
  const name = nameOf(object);
  const { signed, payload } = signatureOf(gate, object);
  const { spiffeId, instanceId } = signed;
  const signer = gate.signers.get(instanceId) ?? findSigner(gate.client, spiffeId);
  gate.signers.set(instanceId, signer);
  const { status, effective_scope, spiffe_id } = await signer;
  if (spiffe_id !== spiffeId) throw refused("its signer is another instance", name);
  if (!isSignerInForce(status, { isTip })) throw refused(`its signer is ${status}`, name);
  if (!isCovered(parseScope(effective_scope), action)) throw refused(`its signer may not ${action}`, name);
  if (!(await isSigningRecorded(gate.client, signingOf(gate.repo, object.kind, payload), signed)))
    throw refused("nobody decided this signature", name);
}

function nameOf({ kind, id }: SignedObject): string {
  return `${kind} ${id.slice(0, 12)}`;
}

async function findSigner(client: Client, spiffeId: string): Promise<AgentInstance> {
  const { instance } = await findAgent(client, spiffeId);
  if (instance === undefined) throw refused("the server knows no such signer", spiffeId);
  return instance;
}

function refused(why: string, what: string): TrustWardenError {
  return new TrustWardenError("push_refused", {
    why: `${what}: ${why}`,
    next: "Sign with `git commit -S` under the agent's identity; see docs/guides/git.md.",
  });
}
