// npm @polar-sh/sdk 1.x: the address is the one changed line.
import { createPolar } from "@polar-sh/sdk/2026-10";

const polar = createPolar({
  accessToken: process.env.POLAR_ACCESS_TOKEN,
  baseUrl: `http://${process.env.SLEDGE_HTTP ?? "127.0.0.1:9465"}`,
});

const answer = await polar.events.ingest({
  events: [{ name: "api_usage", external_customer_id: "user_123", metadata: { units: 3 } }],
});
console.log(answer); // { inserted: 1, duplicates: 0 }: on disk, and on its way to Polar
