// An Azure Monitor workbook: what runs, how far it is, how it ended, how late, how much the hub throttles.

@description('Name of the Application Insights component.')
param componentName string

@description('Azure region.')
param location string

@description('Tags of the workbook.')
param tags object

var source = 'microsoft.insights/components'

var views = [
  { title: 'Running', visualization: 'table', query: loadTextContent('../queries/running.kql') }
  { title: 'Blocked by the hub', visualization: 'table', query: loadTextContent('../queries/blocked.kql') }
  { title: 'Progress of each run, percent', visualization: 'linechart', query: loadTextContent('../queries/progress.kql') }
  { title: 'Executions that ended, a minute', visualization: 'barchart', query: loadTextContent('../queries/outcomes.kql') }
  { title: 'Dispatch lag, seconds', visualization: 'linechart', query: loadTextContent('../queries/lag.kql') }
  { title: 'Wait in the queue, seconds, and calls a second', visualization: 'linechart', query: loadTextContent('../queries/queue.kql') }
  { title: 'Throttled by the hub, answers a minute', visualization: 'barchart', query: loadTextContent('../queries/throttling.kql') }
  { title: 'Ended', visualization: 'table', query: loadTextContent('../queries/ended.kql') }
]

var timeRange = {
  type: 9
  name: 'time range'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    queryType: 0
    resourceType: source
    parameters: [
      {
        id: guid(component.id, 'TimeRange')
        version: 'KqlParameterItem/1.0'
        name: 'TimeRange'
        label: 'Time range'
        type: 4
        isRequired: true
        value: { durationMs: 14400000 }
        typeSettings: {
          allowCustom: true
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 14400000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
        }
      }
    ]
  }
}

var charts = [for view in views: {
  type: 3
  name: view.title
  content: {
    version: 'KqlItem/1.0'
    title: view.title
    query: view.query
    size: 0
    timeContextFromParameter: 'TimeRange'
    queryType: 0
    resourceType: source
    visualization: view.visualization
  }
}]

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(component.id, 'fleetjobs')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'fleetjobs'
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: component.id
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([timeRange], charts)
      fallbackResourceIds: [component.id]
      '$schema': 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json'
    })
  }
}

@description('Resource id of the workbook.')
output id string = workbook.id
