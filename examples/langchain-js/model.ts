/** Models that say what a script says, so that the example needs no provider; put yours in their place. */
import { fakeModel } from "@langchain/core/testing";
import { AIMessage } from "langchain";

const call = (name: string, args: object) => [{ name, args, id: crypto.randomUUID() }];

export const supportModel = fakeModel()
  .respondWithTools(call("research", { question: "Where is parcel 7?" }))
  .respond(new AIMessage("Parcel 7 arrives tomorrow."));
export const researchModel = fakeModel()
  .respondWithTools(call("read_page", { page: "parcels/7" }))
  .respondWithTools(call("delete_page", { page: "parcels/7" }))
  .respond(new AIMessage("Tomorrow; and I may not delete pages."));
export const clerkModel = fakeModel()
  .respondWithTools(call("read_record", { id: "7" }))
  .respondWithTools(call("read_record", { id: "8" }))
  .respond(new AIMessage("Record 7 is paid; of 8 I may know nothing."));
