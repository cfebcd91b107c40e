// npm @polar-sh/sdk 0.x over the Unix socket.
import { HTTPClient, Polar } from "@polar-sh/sdk";
import { Agent } from "undici";

const dispatcher = new Agent({ connect: { socketPath: process.env.SLEDGE_SOCKET ?? "/run/sledge/sledge.sock" } });
const httpClient = new HTTPClient({ fetcher: (input, init) => fetch(input, { ...init, dispatcher }) });
const polar = new Polar({ accessToken: process.env.POLAR_ACCESS_TOKEN, serverURL: "http://localhost", httpClient });

const answer = await polar.events.ingest({
  events: [{ name: "api_usage", externalCustomerId: "user_123", metadata: { units: 3 } }],
});
console.log(answer);
