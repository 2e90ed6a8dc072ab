// A virtual network for the app, with private endpoints for its storage and, if asked for, the IoT hub.

@description('Name of the virtual network.')
param name string

@description('Azure region.')
param location string

@description('Tags of all resources here.')
param tags object

@description('Address space, a /24 at the smallest.')
param addressPrefix string

@description('Service that the app\'s subnet is delegated to; it depends on the plan.')
@allowed(['Microsoft.App/environments', 'Microsoft.Web/serverFarms'])
param appSubnetDelegation string

@description('Name of the storage account.')
param storageAccountName string

@description('Resource id of the IoT hub that gets a private endpoint. Empty: none.')
param hubId string

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageAccountName
}

var storageServices = ['blob', 'queue', 'table']
var storageTargets = [for service in storageServices: {
  resourceId: account.id
  groupId: service
  zone: 'privatelink.${service}.${environment().suffixes.storage}'
}]
var hubTargets = [
  {
    resourceId: hubId
    groupId: 'iotHub'
    zone: 'privatelink.azure-devices.net'
  }
]
var targets = empty(hubId) ? storageTargets : concat(storageTargets, hubTargets)

resource vnet 'Microsoft.Network/virtualNetworks@2024-01-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          delegations: [
            {
              name: 'app'
              properties: {
                serviceName: appSubnetDelegation
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
        }
      }
    ]
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [for (target, i) in targets: {
  name: target.zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [for (target, i) in targets: {
  parent: zones[i]
  name: name
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: vnet.id
    }
  }
}]

resource endpoints 'Microsoft.Network/privateEndpoints@2024-01-01' = [for (target, i) in targets: {
  name: 'pep-${name}-${target.groupId}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: '${vnet.id}/subnets/endpoints'
    }
    privateLinkServiceConnections: [
      {
        name: target.groupId
        properties: {
          privateLinkServiceId: target.resourceId
          groupIds: [target.groupId]
        }
      }
    ]
  }
}]

resource records 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-01-01' = [for (target, i) in targets: {
  parent: endpoints[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: target.groupId
        properties: {
          privateDnsZoneId: zones[i].id
        }
      }
    ]
  }
}]

@description('Resource id of the app\'s subnet.')
output appSubnetId string = '${vnet.id}/subnets/app'

@description('Resource id of the subnet for private endpoints.')
output endpointSubnetId string = '${vnet.id}/subnets/endpoints'

@description('Resource id of the virtual network.')
output vnetId string = vnet.id
