// A simulated door: it answers the direct method lockDoor and prints each change of its desired properties.
//
//	node simDevice.js "HostName=...;DeviceId=simDevice;SharedAccessKey=..."
'use strict';

const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const connectionString = process.argv[2] ?? process.env.DEVICE_CONNECTION_STRING;

async function main() {
  const client = Client.fromConnectionString(connectionString, Mqtt);
  await client.open();
  client.onDeviceMethod('lockDoor', async (request, response) => {
    console.log('lockDoor', JSON.stringify(request.payload));
    await response.send(200, { result: 'door locked', ...request.payload });
  });
  const twin = await client.getTwin();
  twin.on('properties.desired', (patch) => console.log('desired', JSON.stringify(patch)));
  console.log('connected; Ctrl-C ends the device');
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
