/** EU AI Act, Articles 12 and 19. */
import type { Framework } from "../framework.ts";

export const EU_AI_ACT: Framework = {
  id: "eu-ai-act",
  title: "EU AI Act, Articles 12 and 19",
  source:
    "Regulation (EU) 2024/1689 of 13 June 2024, Articles 12 (record-keeping) and 19 (automatically generated logs)",
  controls: [
    {
      id: "Art. 12(1)",
      title: "Events are recorded automatically, over the system's lifetime",
      asks: "The system must be able to log events by itself for as long as it is in use.",
      shownBy: ["actions", "succeeded", "failed", "aborted", "pending", "issued", "revoked"],
      against: ["sequence_gap", "decision_without_outcome", "intent_without_decision"],
      notShown: [
        "what the system did without passing a guard: a log cannot show an action that nobody reported",
        "that the ledger began with the system's first use",
      ],
    },
    {
      id: "Art. 12(2)(a)",
      title: "Situations of risk, and substantial modifications",
      asks: "Events must be recorded that help to find situations in which the system presents a risk (Article 79(1)) or is substantially modified.",
      shownBy: ["denied", "failed", "alarms", "refused", "policies", "freezes", "authority"],
      against: ["allowed_after_revocation", "record_repeated", "previous_mismatch"],
      notShown: [
        "changes of models, weights, prompts and training data",
        "whether an allowed action was harmful: the ledger knows what was asked, allowed and reported, not its effect on people",
      ],
    },
    {
      id: "Art. 12(2)(b)",
      title: "Post-market monitoring",
      asks: "Events must be recorded that serve the provider's monitoring after placing on the market (Article 72).",
      shownBy: ["actions", "denied", "failed", "alarms"],
      notShown: ["the monitoring plan, its analyses and its conclusions"],
    },
    {
      id: "Art. 12(2)(c)",
      title: "Monitoring of operation by deployers",
      asks: "Events must be recorded that serve the deployer's watch over operation (Article 26(5)).",
      shownBy: ["owned", "approved", "answers", "revoked", "freezes", "reads"],
      notShown: ["who looked at the figures outside this system, and what they concluded"],
    },
    {
      id: "Art. 12(3)",
      title: "Remote biometric identification",
      asks: "Systems of Annex III point 1(a) must log at least the period of each use, the reference database, the matching input and who verified the result.",
      shownBy: [],
      notShown: [
        "all of it: this ledger holds commitments to inputs, and no biometric matches or their verification",
      ],
    },
    {
      id: "Art. 19(1)",
      title: "Logs are kept for at least six months",
      asks: "Providers keep the logs under their control for a period that fits the purpose, and for no less than six months unless other law says otherwise.",
      shownBy: [],
      isAboutSpan: true,
      notShown: [
        "that nothing older was removed together with its whole log: compare with an earlier checkpoint or a witness",
        "backups, and how long payloads beside the ledger are kept",
      ],
    },
    {
      id: "Art. 19(2)",
      title: "Financial institutions",
      asks: "Providers under Union financial services law keep the logs as part of the documentation which that law requires.",
      shownBy: [],
      notShown: ["whether that law applies, and where its documentation is kept"],
    },
  ],
};
