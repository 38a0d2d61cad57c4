/**
 * Searches of AuthZEN: candidates, each of which is then decided like an evaluation, so that what is found is allowed.
 *
 * Candidates are agents of this deployment, and what scopes name without a wildcard: a scope with one stands for more
 * resources than anybody could list. A search is recorded once, as a read; its findings permit nothing by themselves.
 */
import type {
  ActionSearch,
  EvaluationRequest,
  ResourceSearch,
  SubjectSearch,
} from "@trustwarden/core/api/authzen.ts";
import type { Services } from "../http/services.ts";
import { evaluate } from "./evaluate.ts";
import { type FoundPage, formatToken, parseToken, type SearchCursor } from "./page.ts";
import { type AgentType, inputOf, isAgentType } from "./question.ts";
import { liveInstancesOf, liveOf, nameAs } from "./subjects.ts";

/** Results of one page at most, and as many unless fewer are asked for. */
const MAX_RESULTS = 100;
/** Instances that one request decides about, and as many more as its last candidate has; a page may end before it is full. */
const MAX_DECIDED = 500;

/** Something that may be found. */
interface Candidate<Found> {
  readonly found: Found;
  /** Where the next page goes on when this was the last one. */
  readonly after: string;
  readonly request: EvaluationRequest;
}

type Paged = Pick<SubjectSearch, "page">;

interface Entity {
  readonly type: string;
  readonly id: string;
}

/** Who may do this. @throws TrustWardenError `request_malformed` for a token of another search. */
export async function searchSubjects(services: Services, search: SubjectSearch): Promise<FoundPage<Entity>> {
  const { subject, action, resource, context } = search;
  const cursor = parseToken(search);
  const candidates = isAgentType(subject.type)
    ? agentsAfter(services, subject.type, cursor.after)
    : namesAfter(
        await foreign(services, "subject", { ...search, subject: { ...subject, id: "" } }),
        cursor.after,
      ).map((id) => ({ id, after: id }));
  const made = mapped(candidates, ({ id, after }) => ({
    found: { type: subject.type, id },
    after,
    request: { subject: { ...subject, id }, action, resource, context },
  }));
  return takePage(services, made, { cursor, search });
}

/** On what the subject may do this, of what its scopes name. @throws TrustWardenError `request_malformed`. */
export async function searchResources(
  services: Services,
  search: ResourceSearch,
): Promise<FoundPage<Entity>> {
  const { subject, action, resource, context } = search;
  const cursor = parseToken(search);
  const paths = isAgentType(subject.type)
    ? atomsOf(services, subject)
        .filter((atom) => atom.type === resource.type && atom.path !== "" && !atom.path.includes("*"))
        .map(({ path }) => path)
    : await foreign(services, "resource", { ...search, resource: { ...resource, id: "" } });
  const made = mapped(namesAfter(paths, cursor.after), (id) => ({
    found: { type: resource.type, id },
    after: id,
    request: { subject, action, resource: { ...resource, id }, context },
  }));
  return takePage(services, made, { cursor, search });
}

/** What the subject may do with this, of the verbs that its scopes and the policy data name. @throws TrustWardenError `request_malformed`. */
export async function searchActions(
  services: Services,
  search: ActionSearch,
): Promise<FoundPage<{ readonly name: string }>> {
  const { subject, resource, context } = search;
  const cursor = parseToken(search);
  const known = Object.keys(services.policy.classes).map((key) => key.split(":")[0] ?? "");
  const verbs = isAgentType(subject.type)
    ? atomsOf(services, subject)
        .filter(({ type }) => type === resource.type || type === "*")
        .flatMap(({ verb }) => (verb === "*" ? known : [verb]))
    : await foreign(services, "action", search);
  const made = mapped(namesAfter(verbs, cursor.after), (name) => ({
    found: { name },
    after: name,
    request: { subject, action: { name }, resource, context },
  }));
  return takePage(services, made, { cursor, search });
}

/** What the custom policy would look at, for subjects that are not ours. @throws TrustWardenError `policy_unavailable`. */
function foreign(
  { policy }: Services,
  looked: "subject" | "resource" | "action",
  search: Partial<EvaluationRequest>,
): Promise<readonly string[]> {
  return policy.candidates({ search: looked, ...inputOf(search) });
}

async function takePage<Found>(
  services: Services,
  candidates: Iterable<Candidate<Found>>,
  { cursor, search }: { readonly cursor: SearchCursor; readonly search: Paged },
): Promise<FoundPage<Found>> {
  const limit = Math.min(search.page?.limit ?? MAX_RESULTS, MAX_RESULTS);
  const results: Found[] = [];
  let after = cursor.after;
  let decided = 0;
  for (const candidate of candidates) {
    if (results.length >= limit || decided >= MAX_DECIDED) {
      return { results, nextToken: formatToken({ ...cursor, after }) };
    }
    const { isAllowed, instances } = await evaluate(services, candidate.request);
    if (isAllowed) results.push(candidate.found);
    after = candidate.after;
    decided += instances;
  }
  return { results, nextToken: "" };
}

/** Names of live agents, or of their live instances, in the order of their ids. */
function* agentsAfter(
  services: Services,
  type: AgentType,
  after: string,
): Generator<{ readonly id: string; readonly after: string }> {
  const [agentId = "", instanceId = ""] = after.split(" ");
  const agent = instanceId === "" ? undefined : services.reads.findAgent(agentId);
  if (agent !== undefined) yield* instancesAfter(services, { agent, type, instanceId });
  for (let last = agentId; ; ) {
    const [next] = services.reads.listAgents({ ...(last === "" ? {} : { after: last }), limit: 1 });
    if (next === undefined) return;
    last = next.agentId;
    if (type !== "agent") yield* instancesAfter(services, { agent: next, type, instanceId: "" });
    else if (liveOf(services, next).length > 0) yield { id: last, after: last };
  }
}

function* instancesAfter(
  services: Services,
  {
    agent,
    type,
    instanceId,
  }: {
    readonly agent: Parameters<typeof liveOf>[1];
    readonly type: AgentType;
    readonly instanceId: string;
  },
): Generator<{ readonly id: string; readonly after: string }> {
  const live = liveOf(services, agent).filter((instance) => instance.instanceId > instanceId);
  for (const instance of live.toSorted((left, right) => (left.instanceId < right.instanceId ? -1 : 1))) {
    yield { id: nameAs(type, instance), after: `${agent.agentId} ${instance.instanceId}` };
  }
}

/** The scope atoms of the instances that a subject is; none for a subject that is not ours or does not live. */
function atomsOf(services: Services, subject: EvaluationRequest["subject"]) {
  if (!isAgentType(subject.type)) return [];
  return instancesOf(services, subject).flatMap(
    (instanceId) => services.reads.findInstance(instanceId)?.scope.map(partsOfAtom) ?? [],
  );
}

function instancesOf(services: Services, subject: EvaluationRequest["subject"]): readonly string[] {
  try {
    return liveInstancesOf(services, subject);
  } catch {
    // Safe to go on: whoever is not there may do nothing, and nothing is what is found.
    return [];
  }
}

function namesAfter(names: readonly string[], after: string): readonly string[] {
  return [...new Set(names)].filter((name) => name > after).toSorted();
}

function* mapped<From, To>(items: Iterable<From>, map: (item: From) => To): Generator<To> {
  for (const item of items) yield map(item);
}

/** An atom of a scope in its three parts; without a path it is open. */
function partsOfAtom(atom: string): { readonly verb: string; readonly type: string; readonly path: string } {
  const [verb = "", type = "", path = ""] = atom.split(":");
  return { verb, type, path };
}
