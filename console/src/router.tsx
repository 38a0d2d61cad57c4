/** Which screen is at which address. */
import { createRootRoute, createRoute, createRouter, Link } from "@tanstack/react-router";
import type { ReactElement } from "react";
import { Empty } from "./parts/parts.tsx";
import { Problem } from "./parts/problem.tsx";
import { Agent } from "./screens/agent.tsx";
import { Agents } from "./screens/agents.tsx";
import { Approvals } from "./screens/approvals.tsx";
import { Confirmation } from "./screens/confirmation.tsx";
import { Confirmations } from "./screens/confirmations.tsx";
import { Ledger, parseLedgerSearch } from "./screens/ledger.tsx";
import { Now } from "./screens/now.tsx";
import { Offers } from "./screens/offers.tsx";
import { Owner } from "./screens/owner.tsx";
import { People } from "./screens/people.tsx";
import { Policies } from "./screens/policies.tsx";
import { Question } from "./screens/question.tsx";
import { Secrets } from "./screens/secrets.tsx";
import { Settings } from "./screens/settings.tsx";
import { Welcome } from "./screens/sign-in.tsx";
import { SignedIn } from "./screens/signed-in.tsx";
import { Shell } from "./shell/shell.tsx";

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NowhereFound,
  errorComponent: ({ error }) => <Problem error={error} />,
});

const under = () => root;
const routes = [
  createRoute({ getParentRoute: under, path: "/", component: Now }),
  createRoute({ getParentRoute: under, path: "/agents", component: Agents }),
  createRoute({ getParentRoute: under, path: "/agents/$id", component: Agent }),
  createRoute({ getParentRoute: under, path: "/owners/$id", component: Owner }),
  createRoute({
    getParentRoute: under,
    path: "/question",
    component: Question,
    validateSearch: ({ q }: Record<string, unknown>): { q?: string } => (typeof q === "string" ? { q } : {}),
  }),
  createRoute({
    getParentRoute: under,
    path: "/ledger",
    component: Ledger,
    validateSearch: parseLedgerSearch,
  }),
  createRoute({ getParentRoute: under, path: "/approvals", component: Approvals }),
  createRoute({ getParentRoute: under, path: "/offers", component: Offers }),
  createRoute({ getParentRoute: under, path: "/confirmations", component: Confirmations }),
  createRoute({ getParentRoute: under, path: "/confirmations/$id", component: Confirmation }),
  createRoute({ getParentRoute: under, path: "/policies", component: Policies }),
  createRoute({ getParentRoute: under, path: "/people", component: People }),
  createRoute({ getParentRoute: under, path: "/secrets", component: Secrets }),
  createRoute({ getParentRoute: under, path: "/settings", component: Settings }),
  createRoute({ getParentRoute: under, path: "/welcome", component: Welcome }),
  createRoute({ getParentRoute: under, path: "/signed-in/$provider", component: SignedIn }),
] as const;

/** The router over all screens; search parameters are plain texts, so that addresses can be read and typed. */
export function createConsoleRouter() {
  return createRouter({
    routeTree: root.addChildren(routes),
    basepath: "/app",
    defaultPreload: false,
    parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
    stringifySearch: (search) => {
      const params = new URLSearchParams();
      for (const [name, value] of Object.entries(search))
        if (typeof value === "string") params.set(name, value);
      const text = params.toString();
      return text === "" ? "" : `?${text}`;
    },
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createConsoleRouter>;
  }
}

function NowhereFound(): ReactElement {
  return (
    <Empty title="There is no such page">
      <Link to="/">Go to Now</Link>
    </Empty>
  );
}
