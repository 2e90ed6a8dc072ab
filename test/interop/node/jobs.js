// azure-iothub's JobClient, and Registry's queries over devices.jobs, against whatever runs the jobs: the hub simulator's own
// engine or the function app.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, before, test } = require('node:test');
const { JobClient, Registry } = require('azure-iothub');
const { connect, deviceId, env, until } = require('./suite.js');

const jobs = JobClient.fromConnectionString(env('IOTHUB_CONNECTION_STRING'));
const registry = Registry.fromConnectionString(env('IOTHUB_CONNECTION_STRING'));
const cancelsRunningJobs = process.env.CANCELS_RUNNING_JOBS === 'true';
const mine = `deviceId IN ['${deviceId}']`;
const lockDoor = { methodName: 'lockDoor', payload: { lockTime: '10m' }, responseTimeoutInSeconds: 15 };
const inAnHour = () => new Date(Date.now() + 3_600_000);
const newId = () => `node-${randomUUID()}`;

let device;
before(async () => { device = await connect(); });
after(() => device.client.close());

async function get(jobId) {
  return (await jobs.getJob(jobId)).jobStatus;
}

const ended = (jobId) => until(`the end of ${jobId}`, async () => {
  const job = await get(jobId);
  return ['completed', 'failed', 'cancelled'].includes(job.status) && job;
});

// all reads a query's pages to the end and gives their rows; at most 20 pages.
async function all(query, seen = () => {}) {
  const rows = [];
  for (let page = 0; query.hasMoreResults; page++) {
    assert.ok(page < 20, 'the pages do not end');
    const { result, message } = await query.next(query.continuationToken);
    assert.ok(page === 0 || result.length > 0, 'a continuation leads to rows');
    seen(result, message);
    rows.push(...result);
  }
  return rows;
}

const rowsOf = (jobId) => all(registry.createQuery(`SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '${jobId}'`, 10));

test('a method job reaches the device, and its answer can be queried', async () => {
  const jobId = newId();
  const start = new Date();
  const { jobStatus: created, response } = await jobs.scheduleDeviceMethod(jobId, mine, lockDoor, start, 300);
  assert.equal(response.statusCode, 200);
  assert.equal(created.jobId, jobId);
  assert.equal(created.type, 'scheduleDeviceMethod');
  assert.match(created.status, /^(queued|scheduled|running)$/);

  const job = await ended(jobId);
  assert.equal(job.status, 'completed');
  assert.equal(job.jobId, jobId);
  assert.equal(job.type, 'scheduleDeviceMethod');
  assert.equal(job.queryCondition, mine);
  assert.equal(job.maxExecutionTimeInSeconds, 300);
  assert.equal(job.cloudToDeviceMethod.methodName, 'lockDoor');
  assert.deepEqual(job.cloudToDeviceMethod.payload, { lockTime: '10m' });
  assert.equal(job.cloudToDeviceMethod.responseTimeoutInSeconds, 15);
  assert.deepEqual(job.deviceJobStatistics, { deviceCount: 1, failedCount: 0, succeededCount: 1, runningCount: 0, pendingCount: 0 });
  assert.ok(Math.abs(new Date(job.startTime) - start) < 5000);
  assert.ok(new Date(job.createdTime) <= new Date(job.endTime));
  assert.deepEqual(device.calls.at(-1), { lockTime: '10m' });

  const [row, ...others] = await rowsOf(jobId);
  assert.deepEqual(others, []);
  assert.equal(row.deviceId, deviceId);
  assert.equal(row.jobId, jobId);
  assert.equal(row.jobType, 'scheduleDeviceMethod');
  assert.equal(row.status, 'completed');
  assert.deepEqual(row.outcome.deviceMethodResponse, { status: 200, payload: { result: 'door locked', got: { lockTime: '10m' } } });
  assert.equal(row.error, undefined);
  for (const name of ['startTimeUtc', 'endTimeUtc', 'createdDateTimeUtc', 'lastUpdatedDateTimeUtc']) {
    assert.ok(!Number.isNaN(Date.parse(row[name])), `${name} is ${row[name]}`);
  }
});

test('a twin job changes desired properties and tags', async () => {
  const jobId = newId();
  const patch = { etag: '*', tags: { moved: jobId }, properties: { desired: { building: '43', floor: 3, run: jobId } } };
  await jobs.scheduleTwinUpdate(jobId, mine, patch, new Date(), 300);
  const job = await ended(jobId);
  assert.equal(job.status, 'completed');
  assert.equal(job.type, 'scheduleUpdateTwin');
  assert.equal(job.updateTwin.etag, '*');
  assert.equal(job.deviceJobStatistics.succeededCount, 1);
  const arrived = await until('the patch', () => device.patches.find((p) => p.run === jobId));
  assert.equal(arrived.floor, 3);
  const [row] = await rowsOf(jobId);
  assert.equal(row.jobType, 'scheduleUpdateTwin');
  assert.equal(row.status, 'completed');
});

test('start time, time limit and payload may be left out', async () => {
  const jobId = newId();
  await jobs.scheduleDeviceMethod(jobId, mine, { methodName: 'lockDoor' });
  assert.equal((await ended(jobId)).deviceJobStatistics.succeededCount, 1);
  assert.equal(device.calls.at(-1), null);
});

test('a job for later is scheduled, is listed, and can be cancelled', async () => {
  const jobId = newId();
  const { jobStatus: created } = await jobs.scheduleDeviceMethod(jobId, mine, lockDoor, inAnHour(), 60);
  assert.match(created.status, /^(queued|scheduled)$/);
  await until('scheduled', async () => (await get(jobId)).status === 'scheduled');
  const listed = await all(jobs.createQuery('scheduleDeviceMethod', 'scheduled'));
  assert.ok(listed.every((job) => job.type === 'scheduleDeviceMethod' && job.status === 'scheduled'));
  assert.ok(listed.some((job) => job.jobId === jobId));

  const { jobStatus: cancelled } = await jobs.cancelJob(jobId);
  assert.equal(cancelled.jobId, jobId);
  assert.equal((await ended(jobId)).status, 'cancelled');
  const left = await all(jobs.createQuery('scheduleDeviceMethod', 'scheduled'));
  assert.ok(!left.some((job) => job.jobId === jobId));
});

test('a running job', async () => {
  const jobId = newId();
  await jobs.scheduleDeviceMethod(jobId, mine, { methodName: 'slow', responseTimeoutInSeconds: 10 }, new Date(), 60);
  await until('running', async () => (await get(jobId)).status === 'running');
  if (cancelsRunningJobs) {
    await jobs.cancelJob(jobId);
    assert.equal((await ended(jobId)).status, 'cancelled');
    return;
  }
  await assert.rejects(jobs.cancelJob(jobId), /cannot be cancelled/);
  assert.equal((await ended(jobId)).status, 'completed');
});

test('a device that is not connected fails, and the job completes', async () => {
  const jobId = newId();
  const offline = env('OFFLINE_DEVICE_ID');
  await jobs.scheduleDeviceMethod(jobId, `deviceId IN ['${deviceId}', '${offline}']`, lockDoor, new Date(), 60);
  const job = await ended(jobId);
  assert.equal(job.status, 'completed');
  assert.equal(job.deviceJobStatistics.deviceCount, 2);
  assert.equal(job.deviceJobStatistics.succeededCount, 1);
  assert.equal(job.deviceJobStatistics.failedCount, 1);
  const query = `SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '${jobId}' AND devices.jobs.status = 'failed'`;
  const [row, ...others] = await all(registry.createQuery(query, 100));
  assert.deepEqual(others, []);
  assert.equal(row.deviceId, offline);
  assert.equal(row.error.code, 'DeviceNotOnline');
  assert.ok(row.error.description);
});

test('lists come in pages, and the last one has no continuation', async () => {
  const ids = [newId(), newId(), newId()];
  for (const id of ids) await jobs.scheduleTwinUpdate(id, mine, { etag: '*', properties: { desired: { page: id } } }, inAnHour(), 60);
  for (const id of ids) await until('scheduled', async () => (await get(id)).status === 'scheduled');
  const listed = await all(jobs.createQuery('scheduleUpdateTwin', 'scheduled', 2), (rows, message) => {
    assert.ok(rows.length <= 2);
    assert.equal(message.headers['x-ms-item-type'], 'JobResponse');
  });
  for (const id of ids) assert.equal(listed.filter((job) => job.jobId === id).length, 1);
  for (const id of ids) await jobs.cancelJob(id);
});

test('rows of devices come in pages', async () => {
  const jobId = newId();
  await jobs.scheduleDeviceMethod(jobId, "STARTSWITH(deviceId, 'dev-')", lockDoor, new Date(), 60);
  const { deviceJobStatistics: counts } = await ended(jobId);
  assert.ok(counts.deviceCount >= 20);
  for (const size of [7, counts.deviceCount / 2]) { // the last page is shorter, and is full
    const query = registry.createQuery(`SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '${jobId}'`, size);
    const rows = await all(query, (page, message) => {
      assert.ok(page.length <= size);
      assert.equal(message.headers['x-ms-item-type'], 'DeviceJob');
    });
    assert.equal(new Set(rows.map((row) => row.deviceId)).size, counts.deviceCount);
    assert.equal(rows.length, counts.deviceCount);
  }
});

test('an unknown job is no error but has an unknown status', async () => {
  const job = await get(newId());
  assert.equal(job.status, 'unknown');
  assert.equal(job.type, 'unknown');
});

test('an id is taken once', async () => {
  const jobId = newId();
  await jobs.scheduleDeviceMethod(jobId, mine, lockDoor, inAnHour(), 60);
  await assert.rejects(jobs.scheduleDeviceMethod(jobId, mine, lockDoor, inAnHour(), 60), { name: 'DeviceAlreadyExistsError' });
  await jobs.cancelJob(jobId);
});

test('faults are those of IoT Hub', async () => {
  const long = `deviceId IN ['${'x'.repeat(9000)}']`;
  await assert.rejects(jobs.scheduleDeviceMethod(newId(), long, lockDoor), { name: 'InvalidEtagError' });
  await assert.rejects(jobs.scheduleDeviceMethod('no_underscores', mine, lockDoor), { name: 'ArgumentError' });
  await assert.rejects(jobs.scheduleDeviceMethod(newId(), mine, { methodName: 'm', responseTimeoutInSeconds: 1 }), { name: 'ArgumentError' });
  await assert.rejects(jobs.scheduleTwinUpdate(newId(), mine, { tags: { a: 1 } }), { name: 'ArgumentError' }); // without etag '*'
  const forged = env('IOTHUB_CONNECTION_STRING').replace(/SharedAccessKey=.*/, 'SharedAccessKey=Zm9yZ2Vk');
  await assert.rejects(JobClient.fromConnectionString(forged).getJob('any'), { name: 'UnauthorizedError' });
});

test('a condition over modules is accepted', async () => {
  const jobId = newId();
  const { jobStatus } = await jobs.scheduleDeviceMethod(jobId, "FROM devices.modules WHERE moduleId = 'thermostat'", lockDoor, inAnHour(), 60);
  assert.equal(jobStatus.jobId, jobId);
  await jobs.cancelJob(jobId);
});
