// npm @polar-sh/ingestion: the address is the one changed line, for each of its strategies.
import { Ingestion } from "@polar-sh/ingestion";
import { DeltaTimeStrategy } from "@polar-sh/ingestion/strategies/DeltaTime";

const ingestion = Ingestion({
  accessToken: process.env.POLAR_ACCESS_TOKEN,
  serverURL: `http://${process.env.SLEDGE_HTTP ?? "127.0.0.1:9465"}`,
});

const start = ingestion
  .strategy(new DeltaTimeStrategy(() => performance.now()))
  .ingest("job_time")
  .client({ externalCustomerId: "user_123" });

const stop = start();
console.log(`the job took ${stop().toFixed(1)} ms`);
