// Lets the app's identity query devices, patch twins and invoke direct methods on a hub of this resource group.

@description('Name of the hub.')
param hubName string

@description('Object id of the app\'s identity.')
param principalId string

// IoT Hub Data Contributor: the least of the built-in roles that may invoke direct methods.
var iotHubDataContributorRoleId = '4fc6c259-987e-4a07-842e-c321cc9d413f'

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' existing = {
  name: hubName
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, principalId, iotHubDataContributorRoleId)
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', iotHubDataContributorRoleId)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

@description('Resource id of the hub.')
output hubId string = hub.id

@description('Host name of the hub.')
output hostName string = hub.properties.hostName

@description('Tier of the hub, such as S1.')
output sku string = hub.sku.name

@description('Units of the hub.')
output capacity int = hub.sku.capacity
