/** The rogue child: asks its parent for more than the parent has. The refusal comes before it is anything. */
import { createChildAgent } from "./child-agent.ts";
import { play } from "./conversation.ts";

play(createChildAgent("rogue-child", ["read:transactions", "delete:transactions"]).skills);
