// Package iothub is the service client of one Azure IoT Hub: it invokes direct methods, merges patches into device twins
// and reads device-twin queries page by page, and says in typed errors what went wrong and whether the device may have
// acted all the same.
//
// Requests are composed by github.com/amenzhinsky/iothub/iotservice; one http.RoundTripper of ours sits below it. It
// puts in what that library cannot express (arbitrary JSON payloads, page sizes, continuation tokens, Microsoft Entra
// tokens, a current api-version) and takes every answer out before the library can misread it. Each call is one HTTP
// exchange: nothing is retried here, and no request is sent twice once its bytes may have reached the hub.
//
// The package does not pace, retry, queue or store anything, does not know jobs, and does not manage device identities.
package iothub
