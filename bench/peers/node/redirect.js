// The SDK takes no port in HostName: its requests to the hub are led to the simulator's port here, before any program starts.
'use strict';

const https = require('https');

const [host, port] = process.env.HUB_ADDRESS.split(':');
const request = https.request;

https.request = function (options, ...rest) {
  if (options && options.host === host) {
    options = { ...options, port };
  }
  return request.call(this, options, ...rest);
};
