// azure-iothub's Registry, Twin and Client, with a device of azure-iot-device: what a back end does beside jobs.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, before, test } = require('node:test');
const { Client, Registry } = require('azure-iothub');
const { connect, deviceId, env, until } = require('./suite.js');

const registry = Registry.fromConnectionString(env('IOTHUB_CONNECTION_STRING'));
const service = Client.fromConnectionString(env('IOTHUB_CONNECTION_STRING'));

let device;
before(async () => { device = await connect(); });
after(() => device.client.close());

test('a direct method is answered by the device', async () => {
  const { result } = await service.invokeDeviceMethod(deviceId, { methodName: 'lockDoor', payload: { lockTime: '5m' }, responseTimeoutInSeconds: 10 });
  assert.deepEqual(result, { status: 200, payload: { result: 'door locked', got: { lockTime: '5m' } } });
  const { result: bare } = await service.invokeDeviceMethod(deviceId, { methodName: 'lockDoor' });
  assert.deepEqual(bare.payload, { result: 'door locked', got: null });
});

test('methods fail as they do at IoT Hub', async () => {
  await assert.rejects(service.invokeDeviceMethod('ghost', { methodName: 'm' }), { name: 'DeviceNotFoundError' });
  await assert.rejects(service.invokeDeviceMethod(env('OFFLINE_DEVICE_ID'), { methodName: 'm' }), /Not found/);
  await assert.rejects(service.invokeDeviceMethod(deviceId, { methodName: 'unheard', responseTimeoutInSeconds: 5 }), { name: 'GatewayTimeoutError' });
});

test('desired properties go to the device, reported ones come back', async () => {
  const run = randomUUID();
  const { responseBody: twin } = await registry.getTwin(deviceId);
  const patch = { properties: { desired: { interval: 10, run } } };
  const { result: updated } = await twin.update(patch);
  assert.equal(updated.properties.desired.interval, 10);
  await until('the patch', () => device.patches.find((p) => p.run === run));
  await assert.rejects(registry.updateTwin(deviceId, patch, twin.etag === updated.etag ? 'c3RhbGU=' : 'AAAAAAAAAAA='), { name: 'InvalidEtagError' });

  await new Promise((resolve, reject) => device.twin.properties.reported.update({ run }, (error) => (error ? reject(error) : resolve())));
  const { responseBody: current } = await registry.getTwin(deviceId);
  assert.equal(current.properties.reported.run, run);
  assert.equal(current.connectionState, 'Connected');
});

test('devices are created, read, changed and deleted', async () => {
  const id = `made-${randomUUID()}`;
  const { responseBody: created } = await registry.create({ deviceId: id });
  assert.ok(created.authentication.symmetricKey.primaryKey);
  await assert.rejects(registry.create({ deviceId: id }), { name: 'DeviceAlreadyExistsError' });
  const { responseBody: changed } = await registry.update({ deviceId: id, status: 'disabled', statusReason: 'lost' });
  assert.equal(changed.status, 'disabled');
  assert.equal((await registry.get(id)).responseBody.statusReason, 'lost');
  assert.equal((await registry.delete(id)).httpResponse.statusCode, 204);
  await assert.rejects(registry.get(id), { name: 'DeviceNotFoundError' });
});

test('many devices at once', async () => {
  const devices = [1, 2, 3].map((n) => ({ deviceId: `bulk-${n}-${randomUUID()}`, status: 'enabled' }));
  const { responseBody: added } = await registry.addDevices(devices);
  assert.ok(added.isSuccessful);
  const { responseBody: removed } = await registry.removeDevices(devices, true);
  assert.ok(removed.isSuccessful);
});

test('queries give twins, in pages, and aggregates', async () => {
  const query = registry.createQuery("SELECT * FROM devices WHERE STARTSWITH(deviceId, 'dev-')", 7);
  const ids = new Set();
  for (let page = 0; query.hasMoreResults; page++) {
    assert.ok(page < 50, 'the pages do not end');
    const { result } = await query.nextAsTwin();
    assert.ok(result.length <= 7);
    for (const twin of result) {
      assert.ok(twin.properties.desired);
      ids.add(twin.deviceId);
    }
  }
  const { result: [counted] } = await registry.createQuery("SELECT COUNT() AS n FROM devices WHERE STARTSWITH(deviceId, 'dev-')").next();
  assert.equal(ids.size, counted.n);
  await assert.rejects(registry.createQuery('SELECT nonsense nonsense').next(), { name: 'ArgumentError' });
});

test('statistics of the registry', async () => {
  const { responseBody } = await registry.getRegistryStatistics();
  assert.ok(responseBody.totalDeviceCount >= 20);
});
