import { Jobs } from './jobs.mjs';

const find = (id) => document.getElementById(id);
const form = find('form');
let jobs;
let jobId;

form.addEventListener('submit', (event) => {
  event.preventDefault();
  run(Object.fromEntries(new FormData(form)));
});
find('cancel').addEventListener('click', () => jobs.cancel(jobId).catch(showFault));

async function run({ url, key, method, payload, condition, start }) {
  find('fault').textContent = '';
  find('failures').hidden = true;
  form.querySelector('button').disabled = true;
  try {
    jobs = new Jobs(url, key);
    ({ jobId } = await jobs.create({
      type: 'scheduleDeviceMethod',
      cloudToDeviceMethod: { methodName: method, payload: payload ? JSON.parse(payload) : null },
      queryCondition: condition,
      startTime: start ? new Date(start).toISOString() : undefined,
    }));
    find('cancel').disabled = false;
    for await (const job of jobs.follow(jobId)) show(job);
    showFailures(await jobs.failures(jobId));
  } catch (error) {
    showFault(error);
  } finally {
    find('cancel').disabled = true;
    form.querySelector('button').disabled = false;
  }
}

function show({ jobId: id, status, statusMessage, deviceJobStatistics: counts }) {
  find('job').hidden = false;
  find('id').textContent = id;
  const { deviceCount = 0, succeededCount = 0, failedCount = 0 } = counts ?? {};
  find('bar').max = deviceCount || 1;
  find('bar').value = succeededCount + failedCount;
  find('status').textContent = `${status}: ${succeededCount} succeeded, ${failedCount} failed, ${deviceCount} devices. ${statusMessage ?? ''}`;
}

function showFailures(executions) {
  find('failures').hidden = executions.length === 0;
  find('failures').tBodies[0].replaceChildren(...executions.map(({ deviceId, error }) => {
    const row = document.createElement('tr');
    for (const text of [deviceId, error.code, error.message]) row.insertCell().textContent = text;
    return row;
  }));
}

function showFault(error) {
  find('fault').textContent = error.message;
}
