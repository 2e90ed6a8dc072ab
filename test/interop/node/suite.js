// What the suites share: a device of their own, the clients, and waiting.
'use strict';

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { Client: Device } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

// env gives a variable that the Go test sets: see main_test.go.
function env(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

const deviceId = env('DEVICE_ID');

// connect opens a device that remembers the calls of lockDoor and the patches of its desired properties.
async function connect() {
  const client = Device.fromConnectionString(env('DEVICE_CONNECTION_STRING'), Mqtt);
  await client.open();
  const seen = { client, calls: [], patches: [] };
  client.onDeviceMethod('lockDoor', async (request, response) => {
    seen.calls.push(request.payload);
    await response.send(200, { result: 'door locked', got: request.payload });
  });
  client.onDeviceMethod('slow', async (request, response) => {
    await sleep(3000);
    await response.send(200, null);
  });
  seen.twin = await client.getTwin();
  seen.twin.on('properties.desired', (patch) => seen.patches.push(patch));
  return seen;
}

// until calls look until it gives something, and gives that.
async function until(what, look) {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) assert.fail(`waited in vain for ${what}`);
    await sleep(100);
  }
}

module.exports = { env, deviceId, connect, until };
