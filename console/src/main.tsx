/** The console's beginning: one query client, one router, one root. */
import "./zod-setup.ts";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/screens.css";
import "./styles/pictures.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { isApiError } from "./api/client.ts";
import { createConsoleRouter } from "./router.tsx";
import { applyTheme } from "./shell/theme.tsx";

/** A refusal stays one however often it is asked for; only what the network lost is asked for again. */
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Every question leaves a record in the ledger, so that none is asked without a reason.
      refetchOnWindowFocus: false,
      staleTime: 10_000,
      retry: (failures, error) => failures < 2 && !isApiError(error),
    },
  },
});

const root = document.getElementById("root");
if (root === null) throw new Error("the page has a root");
applyTheme();
if (window.location.pathname === "/") window.history.replaceState(null, "", `/app${window.location.hash}`);
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <RouterProvider router={createConsoleRouter()} />
    </QueryClientProvider>
  </StrictMode>,
);
