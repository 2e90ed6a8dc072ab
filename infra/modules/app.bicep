// The plan and the function app. docs/environment.md explains the app settings.

@description('Name of the function app.')
param name string

@description('Name of the plan.')
param planName string

@description('Azure region.')
param location string

@description('Tags of both.')
param tags object

@description('flex, premium or dedicated.')
@allowed(['flex', 'premium', 'dedicated'])
param hostingPlan string

@description('Size of a premium or dedicated plan. Empty: the smallest that fits.')
param planSku string

@description('Most instances of a flex or premium app.')
param maximumInstanceCount int

@description('Memory of a flex instance in MB.')
param instanceMemoryMB int

@description('Instances that are kept for RunShard (flex), or for the whole app (premium).')
param runShardAlwaysReadyInstances int

@description('Name of the app\'s user-assigned identity.')
param identityName string

@description('Name of the storage account.')
param storageAccountName string

@description('Name of the blob container of the app\'s package.')
param packageContainerName string

@description('Name of the Application Insights component.')
param componentName string

@description('Host name of the IoT hub.')
param iotHubHostName string

@description('FLEETJOBS_TIMER_SCHEDULE.')
param timerSchedule string

@description('FLEETJOBS_LOG_LEVEL.')
param logLevel string

@description('FLEETJOBS_HUB_TIER.')
param iotHubTier string

@description('FLEETJOBS_HUB_UNITS.')
param iotHubUnits int

@description('FLEETJOBS_HUBS: objects with name, hostname, tier and units. Empty: not set.')
param furtherHubs array

@description('FLEETJOBS_MAX_CALLS_IN_FLIGHT.')
param maxCallsInFlight int

@description('FLEETJOBS_MAX_CONCURRENT_RUNS.')
param maxConcurrentRuns int

@description('FLEETJOBS_RETENTION. Empty: not set.')
param retention string

@description('FLEETJOBS_EXPORT_CONTAINER. Empty: not set.')
param exportContainerName string

@description('FLEETJOBS_EXPORT_FORMAT, with a container only.')
param exportFormat string

@description('OTEL_EXPORTER_OTLP_ENDPOINT. Empty: not set.')
param otlpEndpoint string

@description('FLEETJOBS_EVENTGRID_ENDPOINT. Empty: not set.')
param eventGridEndpoint string

@description('URI of the Key Vault secret that holds FLEETJOBS_CALLBACK_KEYS. Empty: not set.')
param callbackKeysSecretUri string

@description('FLEETJOBS_CALLBACK_ALLOW. Empty: not set.')
param callbackAllow string

@description('URI of the Key Vault secret that holds FLEETJOBS_SAS_POLICIES. Empty: not set.')
param sasPoliciesSecretUri string

@description('FLEETJOBS_ENTRA_AUDIENCES. Empty: not set, nor the tenant.')
param hubTokenAudiences string

@description('FLEETJOBS_ENTRA_PRINCIPALS, with audiences only. Empty: not set.')
param hubTokenPrincipals string

@description('FLEETJOBS_HUB_PASSTHROUGH, with policies or audiences only.')
param hubPassThrough bool

@description('FLEETJOBS_PUBLIC_URL. Empty: not set.')
param publicUrl string

@description('Origins whose pages may call the API from a browser.')
param allowedOrigins array

@description('Refuse HTTP that does not come through a private endpoint.')
param privateOnly bool

@description('Subnet that the app joins. Empty: none.')
param subnetId string

@description('Client id for Easy Auth. Empty: no Easy Auth.')
param authClientId string

@description('Tenant of the callers.')
param authTenantId string

@description('Client ids of the applications that may call. Empty: every application of the tenant.')
param authAllowedClientIds array

@description('FLEETJOBS_REQUIRE_ROLES, with Easy Auth only.')
param authRequireRoles bool

var isFlex = hostingPlan == 'flex'
var isPremium = hostingPlan == 'premium'
var isDedicated = hostingPlan == 'dedicated'
var inNetwork = !empty(subnetId)
var skus = {
  flex: { name: 'FC1', tier: 'FlexConsumption' }
  premium: { name: empty(planSku) ? 'EP1' : planSku, tier: 'ElasticPremium' }
  dedicated: { name: empty(planSku) ? 'P0v3' : planSku }
}
var planKinds = {
  flex: 'functionapp'
  premium: 'elastic'
  dedicated: 'linux'
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: identityName
}

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageAccountName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: planKinds[hostingPlan]
  sku: skus[hostingPlan]
  properties: {
    reserved: true
    maximumElasticWorkerCount: isPremium ? min(maximumInstanceCount, 100) : null
  }
}

var alwaysReady = [
  {
    name: 'function:RunShard'
    instanceCount: runShardAlwaysReadyInstances
  }
]

var packageUrl = '${account.properties.primaryEndpoints.blob}${packageContainerName}'

var handlerSettings = [
  { name: 'AzureWebJobsStorage__accountName', value: account.name }
  { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
  { name: 'AzureWebJobsStorage__clientId', value: identity.properties.clientId }
  { name: 'IOTHUB_HOSTNAME', value: iotHubHostName }
  { name: 'FLEETJOBS_HUB_TIER', value: iotHubTier }
  { name: 'FLEETJOBS_HUB_UNITS', value: string(iotHubUnits) }
  { name: 'FLEETJOBS_TIMER_SCHEDULE', value: timerSchedule }
  { name: 'FLEETJOBS_LOG_LEVEL', value: logLevel }
  { name: 'FLEETJOBS_MAX_CALLS_IN_FLIGHT', value: string(maxCallsInFlight) }
  { name: 'FLEETJOBS_MAX_CONCURRENT_RUNS', value: string(maxConcurrentRuns) }
]
var monitoringSettings = [
  { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: component.properties.ConnectionString }
  { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'ClientId=${identity.properties.clientId};Authorization=AAD' }
]
var publicUrlSettings = empty(publicUrl) ? [] : [
  { name: 'FLEETJOBS_PUBLIC_URL', value: publicUrl }
]
var hubsSettings = empty(furtherHubs) ? [] : [
  { name: 'FLEETJOBS_HUBS', value: string(furtherHubs) }
]
var retentionSettings = empty(retention) ? [] : [
  { name: 'FLEETJOBS_RETENTION', value: retention }
]
var exportSettings = empty(exportContainerName) ? [] : [
  { name: 'FLEETJOBS_EXPORT_CONTAINER', value: exportContainerName }
  { name: 'FLEETJOBS_EXPORT_FORMAT', value: exportFormat }
]
var otlpSettings = empty(otlpEndpoint) ? [] : [
  { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: otlpEndpoint }
]
var eventGridSettings = empty(eventGridEndpoint) ? [] : [
  { name: 'FLEETJOBS_EVENTGRID_ENDPOINT', value: eventGridEndpoint }
]
var callbackKeySettings = empty(callbackKeysSecretUri) ? [] : [
  { name: 'FLEETJOBS_CALLBACK_KEYS', value: '@Microsoft.KeyVault(SecretUri=${callbackKeysSecretUri})' }
]
var callbackAllowSettings = empty(callbackAllow) ? [] : [
  { name: 'FLEETJOBS_CALLBACK_ALLOW', value: callbackAllow }
]
var sasPolicySettings = empty(sasPoliciesSecretUri) ? [] : [
  { name: 'FLEETJOBS_SAS_POLICIES', value: '@Microsoft.KeyVault(SecretUri=${sasPoliciesSecretUri})' }
]
var hubTokenSettings = empty(hubTokenAudiences) ? [] : [
  { name: 'FLEETJOBS_ENTRA_TENANT', value: authTenantId }
  { name: 'FLEETJOBS_ENTRA_AUDIENCES', value: hubTokenAudiences }
  { name: 'FLEETJOBS_ENTRA_PRINCIPALS', value: hubTokenPrincipals }
]
var hasHubRoutes = !empty(sasPoliciesSecretUri) || !empty(hubTokenAudiences)
var passThroughSettings = hasHubRoutes ? [
  { name: 'FLEETJOBS_HUB_PASSTHROUGH', value: toLower(string(hubPassThrough)) }
] : []
// These ask for credentials of IoT Hub's own, which App Service does not know.
var hubPaths = hasHubRoutes ? ['/configurations/*', '/devices/*', '/digitaltwins/*', '/jobs/*', '/statistics/*', '/twins/*'] : []
// The headers that tell who calls are the platform's only where Easy Auth is on: one parameter decides both.
var authSettings = empty(authClientId) ? [] : [
  { name: 'FLEETJOBS_EASY_AUTH', value: 'true' }
  { name: 'FLEETJOBS_REQUIRE_ROLES', value: toLower(string(authRequireRoles)) }
]
// Flex Consumption has the runtime in functionAppConfig and refuses these.
var runtimeSettings = isFlex ? [] : [
  { name: 'FUNCTIONS_EXTENSION_VERSION', value: '~4' }
  { name: 'FUNCTIONS_WORKER_RUNTIME', value: 'custom' }
]
// Elastic Premium keeps packages on a file share, which needs an account key; without keys it runs from the blob.
var premiumPackageSettings = isPremium ? [
  { name: 'WEBSITE_RUN_FROM_PACKAGE', value: '${packageUrl}/fleetjobs.zip' }
  { name: 'WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID', value: identity.id }
] : []
var dedicatedPackageSettings = isDedicated ? [
  { name: 'WEBSITE_RUN_FROM_PACKAGE', value: '1' }
] : []

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'fleetjobs' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    reserved: isFlex ? null : true
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
    clientAffinityEnabled: false
    virtualNetworkSubnetId: inNetwork ? subnetId : null
    vnetRouteAllEnabled: inNetwork && !isFlex ? true : null
    functionAppConfig: isFlex ? {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
        alwaysReady: runShardAlwaysReadyInstances > 0 ? alwaysReady : []
      }
    } : null
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      cors: empty(allowedOrigins) ? null : {
        allowedOrigins: allowedOrigins
        supportCredentials: false
      }
      alwaysOn: isDedicated ? true : null
      // Flex Consumption has no health check. Easy Auth lets it through by itself.
      healthCheckPath: isFlex ? null : '/api/health'
      minimumElasticInstanceCount: isPremium ? max(runShardAlwaysReadyInstances, 1) : null
      functionsRuntimeScaleMonitoringEnabled: isPremium && inNetwork ? true : null
      appSettings: concat(handlerSettings, monitoringSettings, authSettings, publicUrlSettings, hubsSettings, retentionSettings, exportSettings, otlpSettings, eventGridSettings, callbackKeySettings, callbackAllowSettings, sasPolicySettings, hubTokenSettings, passThroughSettings, runtimeSettings, premiumPackageSettings, dedicatedPackageSettings)
    }
  }
}

resource ftpCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource auth 'Microsoft.Web/sites/config@2024-04-01' = if (!empty(authClientId)) {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: true
    }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'Return401'
      excludedPaths: concat(['/api/health'], hubPaths) // the first says only that the app answers
    }
    httpSettings: {
      requireHttps: true
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: authClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${authTenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [authClientId, 'api://${authClientId}']
          defaultAuthorizationPolicy: empty(authAllowedClientIds) ? null : {
            allowedApplications: authAllowedClientIds
          }
        }
      }
    }
  }
}

@description('Name of the function app.')
output name string = app.name

@description('Resource id of the function app.')
output id string = app.id

@description('Base URL of the HTTP API.')
output url string = 'https://${app.properties.defaultHostName}'
