// Package principal tells who makes a request, and what they may do: from the headers of App Service authentication ("Easy
// Auth") where the platform writes them, else from the access key. It owns the reading of those headers, the hash that stands
// for a key, and the app roles. It checks no signature and no key, which the platform has done before a request gets here, and
// it stores and logs nothing.
package principal
