// Node without any package: one ingest request over the Unix socket.
import { request } from "node:http";

const events = [{ name: "api_usage", external_customer_id: "user_123", external_id: "node-http-1", metadata: { units: 3 } }];
const body = JSON.stringify({ events });

const answer = await new Promise((resolve, reject) => {
  const sent = request(
    {
      socketPath: process.env.SLEDGE_SOCKET ?? "/run/sledge/sledge.sock",
      method: "POST",
      path: "/v1/events/ingest",
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      timeout: 10_000,
    },
    async (response) => {
      const text = (await response.toArray()).join("");
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`${response.statusCode} ${text}`));
    },
  );
  sent.on("timeout", () => sent.destroy(new Error("no answer in ten seconds")));
  sent.on("error", reject);
  sent.end(body);
});
console.log(answer);
