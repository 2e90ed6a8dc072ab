// Lets HostName in a service's connection string name a port, as in localhost:8443, which azure-iothub can not do by itself: it
// looks for a host of that very name. Only the simulator and the local host need it: node --require ./port.js program.js
'use strict';

const https = require('node:https');

const request = https.request;
https.request = function (options, ...rest) {
  const found = options instanceof URL ? null : /^([^:]+):(\d+)$/.exec(options?.host);
  return request.call(this, found ? { ...options, host: found[1], port: found[2] } : options, ...rest);
};
