// What examples/web does, without a browser: its module for the API makes a job and follows it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Jobs } from '../../../examples/web/jobs.mjs';

const { FLEETJOBS_URL: url, FLEETJOBS_KEY: key, BUILDING: building, OFFLINE_DEVICE_ID: offline } = process.env;
const job = { type: 'scheduleDeviceMethod', cloudToDeviceMethod: { methodName: 'lockDoor' }, queryCondition: `tags.building = ${building}` };

test('a job is created once for one key, followed to its end, and shows what failed', async () => {
  const jobs = new Jobs(`${url}/`, key);
  const idempotencyKey = crypto.randomUUID();
  const { jobId } = await jobs.create(job, idempotencyKey);
  assert.equal((await jobs.create(job, idempotencyKey)).jobId, jobId);
  let last;
  for await (last of jobs.follow(jobId)) assert.equal(last.jobId, jobId);
  assert.equal(last.status, 'completed');
  assert.deepEqual((await jobs.failures(jobId)).map(({ deviceId, error }) => [deviceId, error.code]), [[offline, 'deviceOffline']]);
});

test('a job for later can be cancelled', async () => {
  const jobs = new Jobs(url, key);
  const { jobId } = await jobs.create({ ...job, startTime: new Date(Date.now() + 3_600_000).toISOString() });
  assert.equal((await jobs.cancel(jobId)).status, 'cancelled');
});

test('faults name the field', async () => {
  await assert.rejects(new Jobs(url, key).create({ ...job, queryCondition: 'tags.building =' }), /^Error: 400 .*\nqueryCondition: /s);
  await assert.rejects(new Jobs(url, 'wrong').create(job), /401/);
});
