// npm @polar-sh/sdk 0.x.

const { Polar, HTTPClient } = require("@polar-sh/sdk");
const { agentOf, serve, version } = require("./orders.cjs");

const accessToken = "polar_oat_of_the_app";

const calling = (polar) => (name, units) =>
  polar.events.ingest({ events: [{ name, externalCustomerId: "user_123", metadata: { units } }] });

const ways = {
  "tcp": ({ http }) => calling(new Polar({ accessToken, serverURL: http })),
  "tcp with a slash": ({ http }) => calling(new Polar({ accessToken, serverURL: `${http}/` })),
  "tcp without a token": ({ http }) => calling(new Polar({ serverURL: http })),
  "socket": ({ socket }) => {
    const dispatcher = agentOf(socket);
    const httpClient = new HTTPClient({ fetcher: (input, init) => fetch(input, { ...init, dispatcher }) });
    return calling(new Polar({ accessToken, serverURL: "http://localhost", httpClient }));
  },
};

const read = async ({ http }) => {
  const page = await new Polar({ accessToken, serverURL: http }).meters.list({});
  return page.result.items.map((meter) => meter.name);
};

serve("npm-sdk-0", { "@polar-sh/sdk": version("@polar-sh/sdk"), undici: version("undici") }, ways, read);
