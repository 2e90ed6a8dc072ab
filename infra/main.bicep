// Everything that fleetjobs needs in Azure, in a resource group of its own. docs/deploy.md tells how to use it and what
// nobody has confirmed yet; `make infra-check` checks it offline.
targetScope = 'subscription'

metadata name = 'fleetjobs'
metadata description = 'A function app with a custom handler, its keyless storage, identity, monitoring and an IoT hub.'

@description('Name of the environment. Names of resources are derived from it.')
@minLength(1)
@maxLength(32)
param environmentName string

@description('Azure region of all resources. Flex Consumption is not offered in every region.')
@minLength(1)
param location string

@description('Name of the resource group to create or use. Empty: rg-<environmentName>.')
@maxLength(90)
param resourceGroupName string = ''

@description('Tags for every resource, besides azd-env-name.')
param tags object = {}

@description('Where the app runs: flex (Flex Consumption), premium (Elastic Premium) or dedicated (App Service plan).')
@allowed(['flex', 'premium', 'dedicated'])
param hostingPlan string = 'flex'

@description('Size of a premium or dedicated plan, such as EP1 or P1v3. Empty: EP1 or P0v3. Flex Consumption has one only.')
param planSku string = ''

@description('Most instances that a flex or premium app scales out to.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Memory of an instance in MB; flex only.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Instances that are kept for RunShard even when nothing is due, so that work starts at once. Billed all the time. On premium: for the whole app, one at least.')
@minValue(0)
@maxValue(20)
param runShardAlwaysReadyInstances int = 0

@description('FLEETJOBS_TIMER_SCHEDULE: six-field NCRONTAB of TimerDispatch, at least every 5 minutes.')
@minLength(11)
param timerSchedule string = '*/10 * * * * *'

@description('FLEETJOBS_LOG_LEVEL.')
@allowed(['debug', 'info', 'warn', 'error'])
param logLevel string = 'info'

@description('FLEETJOBS_MAX_CALLS_IN_FLIGHT: device calls at one time in one instance; each takes some 64 KB of its memory.')
@minValue(1)
@maxValue(10000)
param maxCallsInFlight int = 512

@description('FLEETJOBS_MAX_CONCURRENT_RUNS: runs that go on at one time; 0: no limit.')
@minValue(0)
@maxValue(500)
param maxConcurrentRuns int = 0

@description('FLEETJOBS_RETENTION: ISO 8601 duration for which jobs and runs are kept after their end, such as P90D. Empty: until somebody deletes them.')
param retention string = ''

@description('FLEETJOBS_EXPORT_CONTAINER: blob container into which they are written before that. Empty: none. It needs retention.')
@maxLength(63)
param exportContainerName string = ''

@description('FLEETJOBS_EXPORT_FORMAT.')
@allowed(['ndjson', 'csv'])
param exportFormat string = 'ndjson'

@description('Days after which an export moves to the cool tier; 0: never.')
@minValue(0)
param exportCoolDays int = 30

@description('Days after which an export is deleted; 0: never.')
@minValue(0)
param exportDeleteDays int = 0

@description('OTEL_EXPORTER_OTLP_ENDPOINT: base URL of an OpenTelemetry collector for traces and metrics. Empty: none.')
param otlpEndpoint string = ''

@description('Create an Event Grid topic and publish the start and the end of every job to it.')
param enableEventGrid bool = false

@description('URI of a Key Vault secret with the keys that sign callbacks (FLEETJOBS_CALLBACK_KEYS). Give the app\'s identity the role Key Vault Secrets User on it. Empty: callbacks are not signed.')
param callbackKeysSecretUri string = ''

@description('FLEETJOBS_CALLBACK_ALLOW: networks and hosts that callbacks may reach although they are not public.')
param callbackAllow string = ''

@description('URI of a Key Vault secret with shared access policies for job clients of IoT Hub (FLEETJOBS_SAS_POLICIES). Give the app\'s identity the role Key Vault Secrets User on it. Empty: none.')
param sasPoliciesSecretUri string = ''

@description('FLEETJOBS_ENTRA_AUDIENCES: audiences of tokens of authTenantId that open the hub\'s routes. Empty: no token does.')
param hubTokenAudiences string = ''

@description('FLEETJOBS_ENTRA_PRINCIPALS: identities that may use the hub\'s routes without an app role.')
param hubTokenPrincipals string = ''

@description('FLEETJOBS_HUB_PASSTHROUGH: pass the rest of the hub\'s API through. It needs policies or audiences.')
param hubPassThrough bool = false

@description('FLEETJOBS_PUBLIC_URL: set it behind a gateway or a custom domain. Empty: the app\'s own host name.')
param publicUrl string = ''

@description('Name of an IoT hub that exists already. Empty: create one.')
param existingIotHubName string = ''

@description('Resource group of the existing IoT hub, in this subscription. Empty: that of the app.')
param existingIotHubResourceGroup string = ''

@description('Further IoT hubs that exist already, in this subscription: objects with name, by which jobs name the hub, iotHubName and resourceGroup.')
@maxLength(19)
param furtherIotHubs array = []

@description('Size of the IoT hub to create. The basic sizes have neither twins nor direct methods.')
@allowed(['F1', 'S1', 'S2', 'S3'])
param iotHubSku string = 'S1'

@description('Units of the IoT hub to create; F1 allows 1. Its throttles grow with them.')
@minValue(1)
@maxValue(200)
param iotHubCapacity int = 1

@description('Put the app into a virtual network and reach storage through private endpoints only.')
param enableVirtualNetwork bool = false

@description('With enableVirtualNetwork: a private endpoint for the IoT hub too. Devices still come through its public one.')
param iotHubPrivateEndpoint bool = false

@description('With enableVirtualNetwork: a private endpoint for the app, and none but that. Deployments, too, must then come from the network.')
param appPrivateEndpoint bool = false

@description('Address space of the virtual network, a /24 at the smallest.')
param virtualNetworkAddressPrefix string = '10.40.0.0/24'

@description('Origins whose pages may call the API from a browser, such as https://app.example.com. * is every one; credentials are never allowed.')
param allowedOrigins array = []

@description('Client id of the app registration that callers need a token for (Easy Auth). Empty: function keys alone.')
param authClientId string = ''

@description('Tenant that issues the callers\' tokens.')
param authTenantId string = subscription().tenantId

@description('Client ids of the applications whose tokens are accepted. Empty: every application of the tenant.')
param authAllowedClientIds array = []

@description('With authClientId: ask for the app roles Jobs.Read and Jobs.Write (FLEETJOBS_REQUIRE_ROLES).')
param authRequireRoles bool = false

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Create the alert rules: poison messages, dispatch lag, failure share, throttling.')
param enableAlerts bool = true

@description('How often the alert rules look, and how far back. Less often costs less.')
@allowed(['PT5M', 'PT10M', 'PT15M'])
param alertFrequency string = 'PT15M'

@description('E-mail address that alerts are sent to. Empty: none; alerts show in the portal.')
param alertEmailAddress string = ''

@description('Resource ids of existing action groups that alerts are sent to.')
param alertActionGroupIds array = []

@description('Dispatch lag in seconds above which there is an alert.')
@minValue(1)
param alertLagSeconds int = 60

@description('Percentage of executions without success above which there is an alert.')
@minValue(0)
@maxValue(99)
param alertFailurePercent int = 20

@description('Percentage of throttled calls above which there is an alert.')
@minValue(0)
@maxValue(99)
param alertThrottledPercent int = 10

var token = toLower(uniqueString(subscription().id, environmentName, location))
var groupName = empty(resourceGroupName) ? 'rg-${environmentName}' : resourceGroupName
var allTags = union(tags, { 'azd-env-name': environmentName })

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: groupName
  location: location
  tags: allTags
}

module identity 'modules/identity.bicep' = {
  name: 'fleetjobs-identity'
  scope: group
  params: {
    name: 'id-fleetjobs-${token}'
    location: location
    tags: allTags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'fleetjobs-monitoring'
  scope: group
  params: {
    workspaceName: 'log-fleetjobs-${token}'
    componentName: 'appi-fleetjobs-${token}'
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    principalId: identity.outputs.principalId
  }
}

module alerts 'modules/monitoring-alerts.bicep' = if (enableAlerts) {
  name: 'fleetjobs-alerts'
  scope: group
  params: {
    componentName: monitoring.outputs.componentName
    location: location
    tags: allTags
    frequency: alertFrequency
    lagSeconds: alertLagSeconds
    failurePercent: alertFailurePercent
    throttledPercent: alertThrottledPercent
    emailAddress: alertEmailAddress
    actionGroupIds: alertActionGroupIds
  }
}

module workbook 'modules/monitoring-workbook.bicep' = {
  name: 'fleetjobs-workbook'
  scope: group
  params: {
    componentName: monitoring.outputs.componentName
    location: location
    tags: allTags
  }
}

module storage 'modules/storage.bicep' = {
  name: 'fleetjobs-storage'
  scope: group
  params: {
    name: 'stfleetjobs${token}'
    location: location
    tags: allTags
    privateOnly: enableVirtualNetwork
    principalId: identity.outputs.principalId
    exportContainerName: empty(retention) ? '' : exportContainerName
    exportCoolDays: exportCoolDays
    exportDeleteDays: exportDeleteDays
  }
}

module hubs 'modules/hubs.bicep' = {
  name: 'fleetjobs-hubs-${token}'
  params: {
    groupName: group.name
    token: token
    location: location
    tags: allTags
    principalId: identity.outputs.principalId
    existingName: existingIotHubName
    existingResourceGroup: existingIotHubResourceGroup
    sku: iotHubSku
    capacity: iotHubCapacity
    further: furtherIotHubs
  }
}

module network 'modules/network.bicep' = if (enableVirtualNetwork) {
  name: 'fleetjobs-network'
  scope: group
  params: {
    name: 'vnet-fleetjobs-${token}'
    location: location
    tags: allTags
    addressPrefix: virtualNetworkAddressPrefix
    appSubnetDelegation: hostingPlan == 'flex' ? 'Microsoft.App/environments' : 'Microsoft.Web/serverFarms'
    storageAccountName: storage.outputs.name
    hubId: iotHubPrivateEndpoint ? hubs.outputs.hubId : ''
  }
}

module eventGrid 'modules/eventgrid.bicep' = if (enableEventGrid) {
  name: 'fleetjobs-eventgrid'
  scope: group
  params: {
    name: 'evgt-fleetjobs-${token}'
    location: location
    tags: allTags
    principalId: identity.outputs.principalId
  }
}

module app 'modules/app.bicep' = {
  name: 'fleetjobs-app'
  scope: group
  params: {
    name: 'func-fleetjobs-${token}'
    planName: 'plan-fleetjobs-${token}'
    location: location
    tags: allTags
    hostingPlan: hostingPlan
    planSku: planSku
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    runShardAlwaysReadyInstances: runShardAlwaysReadyInstances
    identityName: identity.outputs.name
    storageAccountName: storage.outputs.name
    packageContainerName: storage.outputs.packageContainerName
    componentName: monitoring.outputs.componentName
    iotHubHostName: hubs.outputs.hostName
    iotHubTier: hubs.outputs.tier
    iotHubUnits: hubs.outputs.units
    furtherHubs: hubs.outputs.further
    timerSchedule: timerSchedule
    logLevel: logLevel
    maxCallsInFlight: maxCallsInFlight
    maxConcurrentRuns: maxConcurrentRuns
    retention: retention
    exportContainerName: storage.outputs.exportContainerName
    exportFormat: exportFormat
    otlpEndpoint: otlpEndpoint
    eventGridEndpoint: enableEventGrid ? eventGrid!.outputs.endpoint : ''
    callbackKeysSecretUri: callbackKeysSecretUri
    callbackAllow: callbackAllow
    sasPoliciesSecretUri: sasPoliciesSecretUri
    hubTokenAudiences: hubTokenAudiences
    hubTokenPrincipals: hubTokenPrincipals
    hubPassThrough: hubPassThrough
    publicUrl: publicUrl
    allowedOrigins: allowedOrigins
    privateOnly: enableVirtualNetwork && appPrivateEndpoint
    subnetId: enableVirtualNetwork ? network!.outputs.appSubnetId : ''
    authClientId: authClientId
    authTenantId: authTenantId
    authAllowedClientIds: authAllowedClientIds
    authRequireRoles: authRequireRoles
  }
}

module appEndpoint 'modules/app-endpoint.bicep' = if (enableVirtualNetwork && appPrivateEndpoint) {
  name: 'fleetjobs-app-endpoint'
  scope: group
  params: {
    name: 'pep-func-fleetjobs-${token}'
    location: location
    tags: allTags
    appId: app.outputs.id
    vnetId: network!.outputs.vnetId
    subnetId: network!.outputs.endpointSubnetId
  }
}

@description('Region of the resources.')
output AZURE_LOCATION string = location

@description('Resource group of the app.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Name of the function app.')
output FUNCTION_APP_NAME string = app.outputs.name

@description('Base URL of the HTTP API.')
output FUNCTION_APP_URL string = app.outputs.url

@description('Name of the storage account.')
output STORAGE_ACCOUNT_NAME string = storage.outputs.name

@description('Name of the blob container of the app\'s package.')
output PACKAGE_CONTAINER_NAME string = storage.outputs.packageContainerName

@description('Host name of the IoT hub.')
output IOT_HUB_HOST_NAME string = hubs.outputs.hostName

@description('Client id of the app\'s managed identity.')
output IDENTITY_CLIENT_ID string = identity.outputs.clientId

@description('Name of the Application Insights component.')
output APPLICATION_INSIGHTS_NAME string = monitoring.outputs.componentName

@description('Resource id of the workbook that shows jobs and runs.')
output WORKBOOK_ID string = workbook.outputs.id

@description('Resource id of the Event Grid topic. Empty: there is none.')
output EVENT_GRID_TOPIC_ID string = enableEventGrid ? eventGrid!.outputs.id : ''
