// npm @polar-sh/sdk 1.x over the Unix socket. It takes no HTTP client of its own, so every fetch of the process goes to
// the socket: for a process that does nothing else with fetch.
import { createPolar } from "@polar-sh/sdk/2026-10";
import { Agent, setGlobalDispatcher } from "undici";

setGlobalDispatcher(new Agent({ connect: { socketPath: process.env.SLEDGE_SOCKET ?? "/run/sledge/sledge.sock" } }));
const polar = createPolar({ accessToken: process.env.POLAR_ACCESS_TOKEN, baseUrl: "http://localhost" });

const answer = await polar.events.ingest({
  events: [{ name: "api_usage", external_customer_id: "user_123", metadata: { units: 3 } }],
});
console.log(answer);
