// An Event Grid topic to which the app publishes the start and the end of every job. It takes Entra tokens only.

@description('Name of the topic.')
param name string

@description('Azure region.')
param location string

@description('Tags of the topic.')
param tags object

@description('Object id of the identity that may publish.')
param principalId string

// EventGrid Data Sender
var dataSenderRoleId = 'd5a91429-5739-47e2-a06b-3470a27159e7'

resource topic 'Microsoft.EventGrid/topics@2022-06-15' = {
  name: name
  location: location
  tags: tags
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
  }
}

resource send 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(topic.id, principalId, dataSenderRoleId)
  scope: topic
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataSenderRoleId)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

@description('URL that events are sent to.')
output endpoint string = topic.properties.endpoint

@description('Resource id of the topic, for subscriptions.')
output id string = topic.id
