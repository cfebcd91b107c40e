// npm @polar-sh/sdk 0.x: the address is the one changed line.
import { Polar } from "@polar-sh/sdk";

const polar = new Polar({
  accessToken: process.env.POLAR_ACCESS_TOKEN,
  serverURL: `http://${process.env.SLEDGE_HTTP ?? "127.0.0.1:9465"}`,
});

const answer = await polar.events.ingest({
  events: [{ name: "api_usage", externalCustomerId: "user_123", metadata: { units: 3 } }],
});
console.log(answer);
