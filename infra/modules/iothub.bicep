// A new IoT hub. Devices may use keys or certificates; services come with Entra tokens, the hub's shared access policies
// are off.

@description('Name of the hub.')
param name string

@description('Azure region.')
param location string

@description('Tags of the hub.')
param tags object

@description('Size of the hub.')
param sku string

@description('Units of the hub.')
param capacity int

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
    capacity: capacity
  }
  properties: {
    disableLocalAuth: true
    minTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

@description('Name of the hub.')
output name string = hub.name
