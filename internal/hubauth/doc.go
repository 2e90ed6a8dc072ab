// Package hubauth tells who calls the routes that stand in for an IoT hub, and what they may do there: by a shared access
// signature of a policy, or by a token of Microsoft Entra ID, as IoT Hub itself does
// (https://learn.microsoft.com/azure/iot-hub/authenticate-authorize-sas,
// https://learn.microsoft.com/azure/iot-hub/authenticate-authorize-azure-ad).
//
// It owns the forms of policies and principals in settings, the verification of both kinds of credentials, and the cache of
// Entra's signing keys. It does not own which request needs which permission (package hubapi) nor access keys and Easy Auth
// of the native API (package principal). No key, token or signature is in any error of it.
package hubauth
