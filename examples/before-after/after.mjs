// Where the app's metering is set up: before.mjs and after.mjs differ in the line with the address.
import { Ingestion } from "@polar-sh/ingestion";
import { work } from "./app.mjs";

const accessToken = process.env.POLAR_ACCESS_TOKEN;
await work(Ingestion({ accessToken, serverURL: process.env.SLEDGE }));
