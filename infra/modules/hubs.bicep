// The IoT hubs that jobs work at: one that is created, or that exists already, further ones, and the app's access to each.

targetScope = 'subscription'

@description('Name of the resource group of the app, and of the hub to create.')
param groupName string

@description('End of the names of the hub to create and of the deployments.')
param token string

@description('Azure region.')
param location string

@description('Tags of the hub to create.')
param tags object

@description('Object id of the app\'s identity.')
param principalId string

@description('Name of a hub that exists already. Empty: create one.')
param existingName string

@description('Resource group of that hub. Empty: that of the app.')
param existingResourceGroup string

@description('Size of the hub to create.')
param sku string

@description('Units of the hub to create.')
param capacity int

@description('Further hubs, which exist already: objects with name, iotHubName and resourceGroup.')
param further array

var createHub = empty(existingName)
var hubGroupName = createHub || empty(existingResourceGroup) ? groupName : existingResourceGroup

module newHub 'iothub.bicep' = if (createHub) {
  name: 'fleetjobs-iothub'
  scope: resourceGroup(groupName)
  params: {
    name: 'iot-fleetjobs-${token}'
    location: location
    tags: tags
    sku: sku
    capacity: capacity
  }
}

module access 'iothub-access.bicep' = {
  name: 'fleetjobs-iothub-access-${token}'
  scope: resourceGroup(hubGroupName)
  params: {
    hubName: createHub ? newHub!.outputs.name : existingName
    principalId: principalId
  }
}

module furtherAccess 'iothub-access.bicep' = [for (hub, i) in further: {
  name: 'fleetjobs-iothub-access-${token}-${i + 1}'
  scope: resourceGroup(hub.resourceGroup)
  params: {
    hubName: hub.iotHubName
    principalId: principalId
  }
}]

@description('Resource id of the hub.')
output hubId string = access.outputs.hubId

@description('Host name of the hub.')
output hostName string = access.outputs.hostName

@description('Size of the hub.')
output tier string = access.outputs.sku

@description('Units of the hub.')
output units int = access.outputs.capacity

@description('Name, host name, size and units of each further hub.')
output further array = [for (hub, i) in further: {
  name: hub.name
  hostname: furtherAccess[i].outputs.hostName
  tier: furtherAccess[i].outputs.sku
  units: furtherAccess[i].outputs.capacity
}]
