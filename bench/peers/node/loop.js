// What a back end in Node does without fleetjobs: at the due time it queries the devices page by page, calls the hundred devices
// of a page at once, and counts. It tells what it knows at the end as one line of JSON.
'use strict';

const { Client, Registry } = require('azure-iothub');

const connectionString = process.env.HUB_CONNECTION_STRING;
const due = Number(process.env.DUE);
const method = { methodName: 'reboot', payload: { delay: 5 }, responseTimeoutInSeconds: 30 };

const client = Client.fromConnectionString(connectionString);
const registry = Registry.fromConnectionString(connectionString);
const outcome = { succeeded: 0, failed: 0, lastOutcome: due };

async function call(deviceId) {
  try {
    await client.invokeDeviceMethod(deviceId, method);
    outcome.succeeded++;
  } catch {
    outcome.failed++;
  }
  outcome.lastOutcome = Date.now();
}

async function run() {
  const query = registry.createQuery('SELECT deviceId FROM devices', 100);
  while (query.hasMoreResults) {
    const page = await query.nextAsTwin();
    await Promise.all(page.result.map((device) => call(device.deviceId)));
  }
  console.log(JSON.stringify(outcome));
}

function fail(err) {
  console.error(err);
  process.exit(1);
}

setTimeout(() => run().catch(fail), due - Date.now());
