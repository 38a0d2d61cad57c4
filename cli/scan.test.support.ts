/** Keys for the tests of `warden scan`: of the published forms, made when they are asked for, so that no file holds one. */

/** What one key looks like; the seed makes different ones. */
export function createKey(form: keyof typeof FORMS, seed = 1): string {
  return FORMS[form]((length) =>
    Array.from(
      { length },
      (_, index) => ALPHABET[(index * 11 + seed * 17 + index * index) % ALPHABET.length],
    ).join(""),
  );
}

const ALPHABET = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zCfLq";

type Random = (length: number) => string;

const FORMS = {
  openai: (random: Random) => `sk-proj-${random(48)}`,
  anthropic: (random: Random) => `sk-ant-api03-${random(93)}AA`,
  openrouter: (random: Random) => `sk-or-v1-${Buffer.from(random(32)).toString("hex")}`,
  groq: (random: Random) => `gsk_${random(52)}`,
  github: (random: Random) => `ghp_${random(36)}`,
  slack: (random: Random) => `xoxb-${"123456789012"}-123456789012-${random(24)}`,
  stripe: (random: Random) => `sk_${"live"}_${random(24)}`,
  google: (random: Random) => `AIza${random(35)}`,
  huggingface: (random: Random) => `hf_${random(34)}`,
  aws: (random: Random) => `AKIA${random(16).toUpperCase()}`,
  vault: (random: Random) => `hvs.${random(90)}`,
  telegram: (random: Random) => `1234567890:AA${random(33)}`,
  opaque: (random: Random) => random(32),
} as const;
