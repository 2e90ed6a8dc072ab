// Schedules two jobs for one device, with IoT Hub's own JobClient, and waits for their ends: a direct method that locks the door,
// then new desired properties. IOTHUB_CONNECTION_STRING says who runs the jobs: an IoT hub or fleetjobs.
//
//	node scheduleJobService.js simDevice
'use strict';

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { JobClient } = require('azure-iothub');

const jobs = JobClient.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);
const condition = `deviceId IN ['${process.argv[2] ?? 'simDevice'}']`;
const maxExecutionTimeInSeconds = 300;

async function ended(jobId) {
  for (;;) {
    const { jobStatus: job } = await jobs.getJob(jobId);
    console.log(jobId, job.status);
    if (['completed', 'failed', 'cancelled'].includes(job.status)) {
      const { succeededCount, failedCount } = job.deviceJobStatistics;
      console.log(`${jobId}: ${succeededCount} succeeded, ${failedCount} failed`);
      return;
    }
    await sleep(1000);
  }
}

async function main() {
  const lock = `lock-${randomUUID()}`;
  const method = { methodName: 'lockDoor', payload: { lockTime: '10m' }, responseTimeoutInSeconds: 15 };
  await jobs.scheduleDeviceMethod(lock, condition, method, new Date(), maxExecutionTimeInSeconds);
  await ended(lock);

  const move = `move-${randomUUID()}`;
  const patch = { etag: '*', properties: { desired: { building: '43', floor: 3 } } };
  await jobs.scheduleTwinUpdate(move, condition, patch, new Date(), maxExecutionTimeInSeconds);
  await ended(move);
}

main().catch((error) => {
  console.error(String(error));
  process.exitCode = 1;
});
