// The native API, as a page needs it.

const ended = ['completed', 'failed', 'cancelled'];

export class Jobs {
  #url;
  #key;

  constructor(url, key) {
    this.#url = url.replace(/\/+$/, '');
    this.#key = key;
  }

  // create makes a job. The key makes it safe to send the same request again after a lost answer.
  create(job, idempotencyKey = crypto.randomUUID()) {
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey };
    return this.#request('/api/jobs', { method: 'POST', headers, body: JSON.stringify(job) });
  }

  cancel(jobId) {
    return this.#request(`/api/jobs/${jobId}/cancel`, { method: 'POST' });
  }

  // follow gives the job once a second until it has ended. The browser itself sends ETags and meets 304.
  async* follow(jobId) {
    for (;;) {
      const job = await this.#request(`/api/jobs/${jobId}`);
      yield job;
      if (ended.includes(job.status)) return;
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
    }
  }

  // failures gives the first devices that failed, 100 at most.
  async failures(jobId) {
    return (await this.#request(`/api/jobs/${jobId}/executions?status=failed&pageSize=100`)).executions;
  }

  async #request(path, options = {}) {
    const response = await fetch(this.#url + path, { ...options, headers: { 'x-functions-key': this.#key, ...options.headers } });
    if (response.ok) return response.json();
    // A fault is application/problem+json (RFC 9457), unless it is the platform's.
    const { title, errors = [] } = await response.json().catch(() => ({}));
    const lines = errors.map(({ field, detail }) => `${field}: ${detail}`);
    throw new Error([`${response.status} ${title ?? response.statusText}`, ...lines].join('\n'));
  }
}
