// Credits before any purchase, in the steps of Polar's guide, with the customer by Polar's own id, through sledge.
// What differs from the guide is marked as edit 1, 2 and 3.
import { Polar } from "@polar-sh/sdk";

const polar = new Polar({
  accessToken: process.env.POLAR_ACCESS_TOKEN,
  serverURL: `http://${process.env.SLEDGE_HTTP ?? "127.0.0.1:9465"}`, // edit 1: sledge's address
});

// Step 1: a meter that sums up the units of api_usage. (Or in the dashboard: Products, Meters, Create Meter.)
await polar.meters.create({
  name: "API Calls",
  filter: { conjunction: "and", clauses: [{ property: "name", operator: "eq", value: "api_usage" }] },
  aggregation: { func: "sum", property: "units" },
});

// Step 2: a customer. (Or in the dashboard: Customers, Add Customer.)
const customer = await polar.customers.create({ email: "user@example.com", name: "John Doe" });
const customerId = customer.id; // edit 2: a real customer's id, where the guide has "cus_abc123"

// Step 3: credits are usage below zero.
async function grantCredits(customerId: string, credits: number) {
  await polar.events.ingest({ events: [{ name: "api_usage", customerId, metadata: { units: -credits } }] });
}

async function use(units: number) {
  await polar.events.ingest({ events: [{ name: "api_usage", customerId, metadata: { units } }] });
}

// Step 4: what is left. The events are on disk by now and reach Polar in a moment, and Polar counts them some seconds
// later, so this asks until the balance has changed, for a minute.
async function verify(before = 0): Promise<number> {
  for (let tries = 0; tries < 240; tries += 1) {
    const meters = await polar.customerMeters.list({ customerId });
    // edit 3: the guide's filter compares the whole meter, not its balance, with a number; and the items are in `result`.
    for (const meter of meters.result.items.filter((meter) => meter.balance !== before)) {
      console.log(`${meter.balance} credits for ${meter.meter.name}`);
      return meter.balance;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error("the balance has not changed in a minute");
}

await grantCredits(customerId, 10);
const granted = await verify();
await use(3);
const left = await verify(granted);
await use(8);
const owed = await verify(left);
console.log(`balances: ${granted}, ${left}, ${owed}`);
