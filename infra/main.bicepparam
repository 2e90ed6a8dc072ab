// Parameters of main.bicep, read from the environment: `azd env set NAME value`, or export them before
// `az deployment sub create`. What is not listed here has its default; write it below to change it.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'fleetjobs')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param resourceGroupName = readEnvironmentVariable('AZURE_RESOURCE_GROUP', '')

// An IoT hub that exists already; without a name a hub is created.
param existingIotHubName = readEnvironmentVariable('EXISTING_IOT_HUB_NAME', '')
param existingIotHubResourceGroup = readEnvironmentVariable('EXISTING_IOT_HUB_RESOURCE_GROUP', '')

// Further hubs that exist already, as a JSON array: see docs/deploy.md.
param furtherIotHubs = json(readEnvironmentVariable('FURTHER_IOT_HUBS', '[]'))

// flex, premium or dedicated.
param hostingPlan = readEnvironmentVariable('HOSTING_PLAN', 'flex')
param runShardAlwaysReadyInstances = int(readEnvironmentVariable('RUN_SHARD_ALWAYS_READY', '0'))

// Private networking.
param enableVirtualNetwork = bool(readEnvironmentVariable('ENABLE_VIRTUAL_NETWORK', 'false'))

param appPrivateEndpoint = bool(readEnvironmentVariable('APP_PRIVATE_ENDPOINT', 'false'))

// Origins of web pages that call the API, separated by commas.
param allowedOrigins = empty(readEnvironmentVariable('ALLOWED_ORIGINS', '')) ? [] : split(readEnvironmentVariable('ALLOWED_ORIGINS', ''), ',')

// Entra ID before the HTTP functions: client id of an app registration.
param authClientId = readEnvironmentVariable('AUTH_CLIENT_ID', '')
param authRequireRoles = bool(readEnvironmentVariable('AUTH_REQUIRE_ROLES', 'false'))

// Who hears of jobs: see docs/callbacks.md.
param enableEventGrid = bool(readEnvironmentVariable('ENABLE_EVENT_GRID', 'false'))
param callbackKeysSecretUri = readEnvironmentVariable('CALLBACK_KEYS_SECRET_URI', '')

// Job clients of IoT Hub that use this app in its place: see docs/migration.md.
param sasPoliciesSecretUri = readEnvironmentVariable('SAS_POLICIES_SECRET_URI', '')
param hubTokenAudiences = readEnvironmentVariable('HUB_TOKEN_AUDIENCES', '')
param hubTokenPrincipals = readEnvironmentVariable('HUB_TOKEN_PRINCIPALS', '')
param hubPassThrough = bool(readEnvironmentVariable('HUB_PASSTHROUGH', 'false'))

// How long jobs are kept, and where they go then: see docs/retention.md.
param retention = readEnvironmentVariable('RETENTION', '')
param exportContainerName = readEnvironmentVariable('EXPORT_CONTAINER', '')
param exportFormat = readEnvironmentVariable('EXPORT_FORMAT', 'ndjson')

// Who is told of poison messages, late, failing and throttled runs.
param alertEmailAddress = readEnvironmentVariable('ALERT_EMAIL_ADDRESS', '')

param tags = {
  application: 'fleetjobs'
}
