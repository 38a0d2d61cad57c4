/** OWASP Top 10 for Agentic Applications. */
import type { Framework } from "../framework.ts";

export const OWASP_AGENTIC: Framework = {
  id: "owasp-agentic",
  title: "OWASP Top 10 for Agentic Applications",
  source:
    "OWASP GenAI Security Project, Top 10 for Agentic Applications for 2026 (December 2025), ASI01 to ASI10",
  controls: [
    {
      id: "ASI01",
      title: "Agent Goal Hijack",
      asks: "Input that changes what an agent is after must not turn into harm.",
      shownBy: ["denied", "approved", "alarms"],
      notShown: ["that a goal was hijacked: the ledger sees what an agent asks for, not why"],
    },
    {
      id: "ASI02",
      title: "Tool Misuse and Exploitation",
      asks: "Legitimate tools must not be used in ways that nobody wanted.",
      shownBy: ["actions", "denied", "budgets", "atGateway"],
      notShown: [
        "misuse within what scope and policy allow",
        "the parameters of calls: the ledger holds commitments",
      ],
    },
    {
      id: "ASI03",
      title: "Identity and Privilege Abuse",
      asks: "Identities and delegated rights must not be inherited, reused or raised beyond what was granted.",
      shownBy: ["owned", "delegated", "ownKey", "heldKey", "narrowed", "denied"],
      against: ["signer_not_allowed", "enrolment_unproven", "allowed_after_revocation"],
      notShown: ["credentials that agents hold besides their own identity"],
    },
    {
      id: "ASI04",
      title: "Agentic Supply Chain Vulnerabilities",
      asks: "Models, tools, plugins and agents from elsewhere must be what they seem.",
      shownBy: ["attested", "federation", "secrets"],
      notShown: [
        "the content of models and packages; definitions of tools are compared by the gateway, and their approval is counted among the other changes",
      ],
    },
    {
      id: "ASI05",
      title: "Unexpected Code Execution",
      asks: "Agents must not run code that nobody meant to run.",
      shownBy: ["denied", "inAgent"],
      notShown: ["execution inside an agent's process: no guard stands there"],
    },
    {
      id: "ASI06",
      title: "Memory and Context Poisoning",
      asks: "What an agent remembers and is told must not be corrupted for later use.",
      shownBy: [],
      notShown: ["all of it: memory and context are not in this ledger"],
    },
    {
      id: "ASI07",
      title: "Insecure Inter-Agent Communication",
      asks: "Messages between agents must be authenticated, unaltered and meant for their receiver.",
      shownBy: ["delegated", "atService", "atGateway"],
      against: ["signature_bad", "previous_mismatch", "sequence_repeated"],
      notShown: ["messages between agents that pass no guard"],
    },
    {
      id: "ASI08",
      title: "Cascading Failures",
      asks: "One failure must not run through all agents behind it.",
      shownBy: ["failed", "aborted", "budgets", "revoked"],
      notShown: ["cause and effect between failures of different agents"],
    },
    {
      id: "ASI09",
      title: "Human-Agent Trust Exploitation",
      asks: "People must not be led by an agent to allow what they would not.",
      shownBy: ["approved", "answers"],
      notShown: ["whether whoever approved understood what was asked"],
    },
    {
      id: "ASI10",
      title: "Rogue Agents",
      asks: "Agents that leave their purpose must be seen and stopped.",
      shownBy: ["revoked", "denied", "alarms", "pending"],
      against: ["allowed_after_revocation", "sequence_gap", "decision_without_outcome"],
      notShown: ["an agent that stays within its scope and policy and still works against its owner"],
    },
  ],
};
