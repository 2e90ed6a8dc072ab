// The user-assigned identity that the app has towards storage, IoT Hub and Application Insights.

@description('Name of the identity.')
param name string

@description('Azure region.')
param location string

@description('Tags of the identity.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
  tags: tags
}

@description('Name of the identity.')
output name string = identity.name

@description('Object id of the identity, for role assignments.')
output principalId string = identity.properties.principalId

@description('Client id of the identity, for app settings.')
output clientId string = identity.properties.clientId
