// npm @polar-sh/ingestion over the Unix socket. HTTPClient is that of the @polar-sh/sdk it is built on, 0.41.
import { Ingestion } from "@polar-sh/ingestion";
import { HTTPClient } from "@polar-sh/sdk";
import { Agent } from "undici";

const dispatcher = new Agent({ connect: { socketPath: process.env.SLEDGE_SOCKET ?? "/run/sledge/sledge.sock" } });
const httpClient = new HTTPClient({ fetcher: (input, init) => fetch(input, { ...init, dispatcher }) });
const ingestion = Ingestion({ accessToken: process.env.POLAR_ACCESS_TOKEN, serverURL: "http://localhost", httpClient });

const answer = await ingestion.ingest([{ name: "api_usage", externalCustomerId: "user_123", metadata: { units: 3 } }]);
console.log(answer);
