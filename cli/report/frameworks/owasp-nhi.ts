/** OWASP Non-Human Identities Top 10. */
import type { Framework } from "../framework.ts";

export const OWASP_NHI: Framework = {
  id: "owasp-nhi",
  title: "OWASP Non-Human Identities Top 10",
  source: "OWASP Non-Human Identities Top 10, 2025, NHI1:2025 to NHI10:2025",
  controls: [
    {
      id: "NHI1:2025",
      title: "Improper Offboarding",
      asks: "Identities that are no longer needed must end.",
      shownBy: ["revoked", "renewed", "issued"],
      against: ["allowed_after_revocation"],
      notShown: ["identities that are kept alive although nobody needs them"],
    },
    {
      id: "NHI2:2025",
      title: "Secret Leakage",
      asks: "Credentials must not come to places that are not meant for them.",
      shownBy: ["secrets", "alarms", "ownKey"],
      notShown: ["leaks outside this system; `warden scan` looks for some of them"],
    },
    {
      id: "NHI3:2025",
      title: "Vulnerable Third-Party NHI",
      asks: "Identities given to third parties must not become a way in.",
      shownBy: ["federation", "tokens", "refused"],
      notShown: ["how third parties protect what they hold"],
    },
    {
      id: "NHI4:2025",
      title: "Insecure Authentication",
      asks: "Weak or outdated ways to authenticate must not be used.",
      shownBy: ["actions", "refused", "tokens"],
      against: ["signature_bad", "svid_refused"],
      notShown: ["how agents authenticate to services that no guard stands before"],
    },
    {
      id: "NHI5:2025",
      title: "Overprivileged NHI",
      asks: "Identities must not have more rights than their work needs.",
      shownBy: ["denied", "narrowed", "delegated"],
      notShown: ["whether the rights that were never used are needed"],
    },
    {
      id: "NHI6:2025",
      title: "Insecure Cloud Deployment Configurations",
      asks: "Pipelines and cloud settings must not hand out standing credentials.",
      shownBy: ["attested", "entries"],
      notShown: ["the configuration of clouds and pipelines"],
    },
    {
      id: "NHI7:2025",
      title: "Long-Lived Secrets",
      asks: "Credentials must not live long.",
      shownBy: ["issued", "renewed", "tokens"],
      notShown: [
        "the age of upstream secrets behind the broker; an identity of this system ends within hours",
      ],
    },
    {
      id: "NHI8:2025",
      title: "Environment Isolation",
      asks: "Identities of one environment must not reach into another.",
      shownBy: ["denied", "federation"],
      notShown: ["which environment a resource belongs to"],
    },
    {
      id: "NHI9:2025",
      title: "NHI Reuse",
      asks: "One identity must not serve several workloads.",
      shownBy: ["issued", "ownKey"],
      against: ["sequence_repeated", "record_conflict"],
      notShown: ["one process that does the work of several"],
    },
    {
      id: "NHI10:2025",
      title: "Human Use of NHI",
      asks: "People must not act under identities of machines.",
      shownBy: ["attested", "ownKey"],
      notShown: ["a person who drives an agent's process"],
    },
  ],
};
