// An app that answers questions with a language model and runs a job, and meters both for a customer.
import { DeltaTimeStrategy } from "@polar-sh/ingestion/strategies/DeltaTime";
import { LLMStrategy } from "@polar-sh/ingestion/strategies/LLM";
import { generateText } from "ai";
import { model } from "./model.mjs";

const customer = { externalCustomerId: "user_123" };

export async function work(ingestion) {
  const metered = ingestion.strategy(new LLMStrategy(model)).ingest("llm_usage").client(customer);
  for (const question of ["question 1", "question 2", "question 3"]) {
    try {
      const { text } = await generateText({ model: metered, prompt: question });
      console.log(`${question}: ${text}`);
    } catch (error) {
      console.log(`${question}: no answer (${error.message.split(" Content-Type")[0]})`);
    }
  }

  const start = ingestion.strategy(new DeltaTimeStrategy(() => performance.now())).ingest("job_time").client(customer);
  const stop = start();
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop();
  console.log("job: done");
}
