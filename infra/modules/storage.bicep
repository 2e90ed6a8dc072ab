// The storage account of the app: no keys, no anonymous access. Tables and queues are fleetjobs' own, the container is for
// the app's package; the Functions host makes its own containers.

@description('Name of the account: 3 to 24 lower-case letters and digits.')
@minLength(3)
@maxLength(24)
param name string

@description('Azure region.')
param location string

@description('Tags of the account.')
param tags object

@description('Refuse everything that does not come through a private endpoint.')
param privateOnly bool

@description('Object id of the identity that gets access to blobs, queues and tables.')
param principalId string

@description('Blob container for exports of old jobs (FLEETJOBS_EXPORT_CONTAINER). Empty: none.')
param exportContainerName string

@description('Days after which an export moves to the cool tier; 0: never.')
param exportCoolDays int

@description('Days after which an export is deleted; 0: never.')
param exportDeleteDays int

// Storage Blob Data Owner: the host's leases and keys, and the package.
var blobDataOwnerRoleId = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
// Storage Queue Data Contributor
var queueDataContributorRoleId = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
// Storage Table Data Contributor
var tableDataContributorRoleId = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
// Storage Blob Data Contributor, on the exports: all that the app itself needs of blobs, should the host's role go elsewhere.
var blobDataContributorRoleId = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var roleIds = [blobDataOwnerRoleId, queueDataContributorRoleId, tableDataContributorRoleId]

var tableNames = ['fleetjobsjobs', 'fleetjobsruns']
var queueNames = ['fleetjobs-work', 'fleetjobs-work-poison']

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: privateOnly ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: privateOnly ? 'Deny' : 'Allow'
    }
  }
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobService
  name: 'app-package'
  properties: {
    publicAccess: 'None'
  }
}

resource exports 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = if (!empty(exportContainerName)) {
  parent: blobService
  name: empty(exportContainerName) ? 'exports' : exportContainerName
  properties: {
    publicAccess: 'None'
  }
}

resource exportAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(exportContainerName)) {
  name: guid(exports.id, principalId, blobDataContributorRoleId)
  scope: exports
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributorRoleId)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

var cool = exportCoolDays > 0 ? { tierToCool: { daysAfterModificationGreaterThan: exportCoolDays } } : {}
var end = exportDeleteDays > 0 ? { delete: { daysAfterModificationGreaterThan: exportDeleteDays } } : {}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2023-05-01' = if (!empty(exportContainerName) && exportCoolDays + exportDeleteDays > 0) {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'exports'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${exportContainerName}/']
            }
            actions: {
              baseBlob: union(cool, end)
            }
          }
        }
      ]
    }
  }
}

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices/tables@2023-05-01' = [for table in tableNames: {
  parent: tableService
  name: table
}]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices/queues@2023-05-01' = [for queue in queueNames: {
  parent: queueService
  name: queue
}]

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for roleId in roleIds: {
  name: guid(account.id, principalId, roleId)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleId)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}]

@description('Name of the account.')
output name string = account.name

@description('Name of the container of the app\'s package.')
output packageContainerName string = packages.name

@description('Name of the container of exports. Empty: there is none.')
output exportContainerName string = empty(exportContainerName) ? '' : exports.name
