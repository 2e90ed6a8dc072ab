// Locks the doors of a building with one job and says what became of it. Node.js 18 or later, no packages.
//
//	FLEETJOBS_URL=https://my-app.azurewebsites.net FLEETJOBS_KEY=... node backend.js 43
'use strict';

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');

const base = process.env.FLEETJOBS_URL;
const key = process.env.FLEETJOBS_KEY;

// request makes a request that may be repeated: it is, while there is no answer or the app says that it is busy.
async function request(path, options = {}) {
  for (let attempt = 1; ; attempt++) {
    let response;
    try {
      const headers = { 'x-functions-key': key, ...options.headers };
      response = await fetch(base + path, { ...options, headers, signal: AbortSignal.timeout(30_000) });
    } catch (error) {
      if (attempt === 5) throw error;
    }
    if (response && (response.ok || response.status === 304)) return response;
    if (response && ![429, 502, 503, 504].includes(response.status) || attempt === 5) throw await problem(response);
    await sleep(1000 * (Number(response?.headers.get('Retry-After')) || 2 ** attempt));
  }
}

// problem makes an error of an answer, which is application/problem+json (RFC 9457) unless it is the platform's.
async function problem(response) {
  const { title, errors = [] } = await response.json().catch(() => ({}));
  const details = errors.map(({ field, detail }) => `${field}: ${detail}`);
  return new Error([`${response.status} ${title ?? response.statusText}`, ...details].join('\n'));
}

// createJob creates a job once, however often it has to ask: a key stands for one job.
async function createJob(job, idempotencyKey = randomUUID()) {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey };
  return (await request('/api/jobs', { method: 'POST', headers, body: JSON.stringify(job) })).json();
}

// waitForEnd asks once a second and calls progress when something is new. An answer of 304 has no body.
async function waitForEnd(jobId, progress) {
  for (let etag = ''; ; await sleep(1000)) {
    const response = await request(`/api/jobs/${jobId}`, { headers: etag ? { 'If-None-Match': etag } : {} });
    if (response.status === 304) continue;
    etag = response.headers.get('ETag');
    const job = await response.json();
    progress(job);
    if (['completed', 'failed', 'cancelled'].includes(job.status)) return job;
  }
}

// failedExecutions yields every device that failed, page by page.
async function* failedExecutions(jobId) {
  let token = '';
  do {
    const query = new URLSearchParams({ status: 'failed', pageSize: '1000', continuationToken: token });
    const page = await (await request(`/api/jobs/${jobId}/executions?${query}`)).json();
    yield* page.executions;
    token = page.continuationToken;
  } while (token);
}

async function main(building) {
  const created = await createJob({
    type: 'scheduleDeviceMethod',
    cloudToDeviceMethod: { methodName: 'lockDoor', payload: { lockTime: '10m' }, responseTimeoutInSeconds: 15 },
    queryCondition: `tags.building = ${building}`,
    maxExecutionTimeInSeconds: 600,
  });
  console.log('created', created.jobId);
  const job = await waitForEnd(created.jobId, ({ status, deviceJobStatistics: n }) => {
    console.log(status, n ? `${n.succeededCount + n.failedCount} of ${n.deviceCount}` : '');
  });
  console.log(job.statusMessage);
  for await (const { deviceId, error } of failedExecutions(job.jobId)) console.log('failed', deviceId, error.code, error.message);
}

main(Number(process.argv[2] ?? 43)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
