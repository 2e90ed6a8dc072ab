// Deploys the two workflows of this folder as Logic Apps (Consumption). See README.md.
targetScope = 'resourceGroup'

@description('Region of the workflows.')
param location string = resourceGroup().location

@description('Address of the function app, such as https://my-app.azurewebsites.net, without a slash at the end.')
param functionAppUrl string

@description('A host key of the function app.')
@secure()
param hostKey string

var values = {
  functionAppUrl: { value: functionAppUrl }
  hostKey: { value: hostKey }
}

resource polling 'Microsoft.Logic/workflows@2019-05-01' = {
  name: 'fleetjobs-lock-doors'
  location: location
  properties: {
    definition: loadJsonContent('workflow.json').definition
    parameters: values
  }
}

resource webhook 'Microsoft.Logic/workflows@2019-05-01' = {
  name: 'fleetjobs-lock-doors-webhook'
  location: location
  properties: {
    definition: loadJsonContent('workflow-webhook.json').definition
    parameters: values
  }
}
