// Credits before any purchase, in the steps of Polar's guide, with the customer by your own id, through sledge and SDK 1.x.
// What differs from the guide is marked as edit 1, 2 and 3.
import { createPolar } from "@polar-sh/sdk/2026-10";

const polar = createPolar({
  accessToken: process.env.POLAR_ACCESS_TOKEN ?? "",
  baseUrl: `http://${process.env.SLEDGE_HTTP ?? "127.0.0.1:9465"}`, // edit 1: sledge's address
});

// Step 1: a meter that sums up the units of api_usage. (Or in the dashboard: Products, Meters, Create Meter.)
await polar.meters.create({
  name: "API Calls",
  filter: { conjunction: "and", clauses: [{ property: "name", operator: "eq", value: "api_usage" }] },
  aggregation: { func: "sum", property: "units" },
});

// Step 2: a customer. (Or in the dashboard: Customers, Add Customer.)
const customer = await polar.customers.create({ email: "user@example.com", name: "John Doe", external_id: "user_123" });
const externalCustomerId = customer.external_id!; // edit 2: the id of the customer just created

// Step 3: credits are usage below zero.
async function grantCredits(externalCustomerId: string, credits: number) {
  await polar.events.ingest({ events: [{ name: "api_usage", external_customer_id: externalCustomerId, metadata: { units: -credits } }] });
}

async function use(units: number) {
  await polar.events.ingest({ events: [{ name: "api_usage", external_customer_id: externalCustomerId, metadata: { units } }] });
}

// Step 4: what is left. The events are on disk by now and reach Polar in a moment, and Polar counts them some seconds
// later, so this asks until the balance has changed, for a minute.
async function verify(before = 0): Promise<number> {
  for (let tries = 0; tries < 240; tries += 1) {
    const meters = await polar.customerMeters.list({ external_customer_id: externalCustomerId });
    // edit 3: the guide's filter compares the whole meter, not its balance, with a number.
    for (const meter of meters.items.filter((meter) => meter.balance !== before)) {
      console.log(`${meter.balance} credits for ${meter.meter.name}`);
      return meter.balance;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error("the balance has not changed in a minute");
}

await grantCredits(externalCustomerId, 10);
const granted = await verify();
await use(3);
const left = await verify(granted);
await use(8);
const owed = await verify(left);
console.log(`balances: ${granted}, ${left}, ${owed}`);
