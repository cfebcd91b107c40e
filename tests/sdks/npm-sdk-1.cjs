// npm @polar-sh/sdk 1.x: every API version it has, and every address it can be given.

const { Agent, setGlobalDispatcher } = require("undici");
const { agentOf, serve, version } = require("./orders.cjs");

const accessToken = "polar_oat_of_the_app";
const tcp = new Agent();

const over = (api, options) => (order) => {
  setGlobalDispatcher(tcp);
  const { createPolar } = require(`@polar-sh/sdk/${api}`);
  return calling(createPolar({ accessToken, baseUrl: order.http, ...options?.(order) }));
};

const calling = (polar) => (name, units) =>
  polar.events.ingest({ events: [{ name, external_customer_id: "user_123", metadata: { units } }] });

const ways = {
  "tcp 2026-04": over("2026-04"),
  "tcp 2026-10": over("2026-10"),
  "tcp 2027-01": over("2027-01"),
  "tcp with a slash": over("2026-10", ({ http }) => ({ baseUrl: `${http}/` })),
  "tcp without a token": over("2026-10", () => ({ accessToken: undefined })),
  // It takes no fetcher of its own, so all of the process's fetches go to the socket.
  "socket": (order) => {
    setGlobalDispatcher(agentOf(order.socket));
    const { createPolar } = require("@polar-sh/sdk/2026-10");
    return calling(createPolar({ accessToken, baseUrl: "http://localhost" }));
  },
};

const read = async ({ http }) => {
  setGlobalDispatcher(tcp);
  const { createPolar } = require("@polar-sh/sdk/2026-10");
  const { items } = await createPolar({ accessToken, baseUrl: http }).meters.list();
  return items.map((meter) => meter.name);
};

serve("npm-sdk-1", { "@polar-sh/sdk": version("@polar-sh/sdk"), undici: version("undici") }, ways, read);
