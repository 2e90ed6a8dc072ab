// What IoT Hub's own jobs do: the program of Microsoft's tutorial schedules a job for all devices and watches it until it has ended.
// It tells what it knows at the end as one line of JSON.
'use strict';

const { JobClient } = require('azure-iothub');

const due = Number(process.env.DUE);
const method = { methodName: 'reboot', payload: { delay: 5 }, responseTimeoutInSeconds: 30 };

const jobs = JobClient.fromConnectionString(process.env.HUB_CONNECTION_STRING);

async function run() {
  const id = `bench-${due}`;
  await jobs.scheduleDeviceMethod(id, '*', method, new Date(), 24 * 3600);
  for (;;) {
    const { jobStatus } = await jobs.getJob(id);
    if (['completed', 'failed', 'cancelled'].includes(jobStatus.status)) {
      const { succeededCount, failedCount } = jobStatus.deviceJobStatistics;
      console.log(JSON.stringify({ succeeded: succeededCount, failed: failedCount, lastOutcome: Date.now() }));
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function fail(err) {
  console.error(err);
  process.exit(1);
}

setTimeout(() => run().catch(fail), due - Date.now());
