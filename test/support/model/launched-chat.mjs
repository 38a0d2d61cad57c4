/**
 * A program that knows nothing of TrustWarden: OpenAI's and Anthropic's own clients, set up by their environment alone.
 * Prints what they were told as lines of JSON; with `--stay` it streams until it is cut off.
 */
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const messages = [{ role: "user", content: "one two #words=2" }];
const openai = new OpenAI({ maxRetries: 0 });
say({ base: process.env.OPENAI_BASE_URL, key: process.env.OPENAI_API_KEY });
const whole = await openai.chat.completions.create({ model: "gpt-test", messages });
say({ openai: whole.choices[0].message.content });
const anthropic = new Anthropic({ maxRetries: 0 });
const streamed = await anthropic.messages
  .stream({ model: "claude-test", max_tokens: 50, messages })
  .finalMessage();
say({ anthropic: streamed.content[0].text });
try {
  await openai.chat.completions.create({ model: "gpt-test-mini", messages });
} catch (error) {
  say({ refused: error.constructor.name, status: error.status });
}
if (process.argv.includes("--stay")) {
  const slow = [{ role: "user", content: "#words=2000 #delay=50" }];
  const stream = await openai.chat.completions.create({ model: "gpt-test", messages: slow, stream: true });
  say({ streaming: true });
  try {
    for await (const _ of stream);
    say({ ended: true });
  } catch (error) {
    say({ cut: error.constructor.name });
  }
}
