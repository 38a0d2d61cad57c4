/** The screens, in their order. */
import type { IconName } from "../parts/icons.tsx";

/** Where the rail and the keyboard lead to. */
export const PLACES = [
  { to: "/", name: "Now", icon: "now", key: "n" },
  { to: "/agents", name: "Agents", icon: "agents", key: "a" },
  { to: "/question", name: "Question", icon: "question", key: "q" },
  { to: "/ledger", name: "Ledger", icon: "ledger", key: "l" },
  { to: "/approvals", name: "Approvals", icon: "approvals", key: "w" },
  { to: "/offers", name: "Offers", icon: "offers", key: "f" },
  { to: "/confirmations", name: "Confirmations", icon: "confirmations", key: "c" },
  { to: "/policies", name: "Policies", icon: "policies", key: "p" },
  { to: "/people", name: "People", icon: "people", key: "o" },
  { to: "/secrets", name: "Secrets", icon: "secrets", key: "s" },
  { to: "/settings", name: "Settings", icon: "settings", key: "t" },
] as const satisfies readonly { to: string; name: string; icon: IconName; key: string }[];
