// Alert rules on what host and handler log, and whom they tell.

@description('Name of the Application Insights component.')
param componentName string

@description('Azure region.')
param location string

@description('Tags of the rules.')
param tags object

@description('How often the rules look, and how far back. Less often costs less.')
@allowed(['PT5M', 'PT10M', 'PT15M'])
param frequency string

@description('Worst dispatch lag in seconds that is no reason for an alert.')
param lagSeconds int

@description('Percentage of executions without success that is no reason for an alert.')
param failurePercent int

@description('Percentage of throttled calls that is no reason for an alert.')
param throttledPercent int

@description('E-mail address that alerts are sent to. Empty: none.')
param emailAddress string

@description('Resource ids of action groups that alerts are sent to.')
param actionGroupIds array

// Each query gives one row with the column; above the threshold it is an alert.
var rules = [
  {
    name: 'poison-messages'
    title: 'fleetjobs: messages in the poison queue'
    description: 'A message failed five times. Runs go on without it, by repair; what made it fail is in the lines invocation.failed.'
    severity: 1
    query: loadTextContent('../queries/alert-poison.kql')
    column: 'messages'
    threshold: 0
  }
  {
    name: 'dispatch-lag'
    title: 'fleetjobs: runs begin late'
    description: 'Too long from the start time of a run to its first call. See always-ready instances in docs/deploy.md.'
    severity: 2
    query: loadTextContent('../queries/alert-lag.kql')
    column: 'lagSeconds'
    threshold: lagSeconds
  }
  {
    name: 'failure-share'
    title: 'fleetjobs: many executions fail'
    description: 'Of the executions that ended lately, too many failed, timed out or were rejected by the device.'
    severity: 2
    query: loadTextContent('../queries/alert-failures.kql')
    column: 'failurePercent'
    threshold: failurePercent
  }
  {
    name: 'throttling'
    title: 'fleetjobs: the hub throttles'
    description: 'The hub refuses too many calls for its throttle: others use it too, or it is too small for its jobs.'
    severity: 3
    query: loadTextContent('../queries/alert-throttling.kql')
    column: 'throttledPercent'
    threshold: throttledPercent
  }
]

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emailAddress)) {
  name: 'ag-fleetjobs'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'fleetjobs'
    emailReceivers: [
      {
        name: 'email'
        emailAddress: emailAddress
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: 'fleetjobs-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: rule.title
    description: rule.description
    severity: rule.severity
    enabled: true
    scopes: [component.id]
    evaluationFrequency: frequency
    windowSize: frequency
    autoMitigate: true
    // The tables appear with the first rows; the queries are tried by make infra-check.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Maximum'
          metricMeasureColumn: rule.column
          operator: 'GreaterThan'
          threshold: rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: empty(emailAddress) ? actionGroupIds : concat(actionGroupIds, [group.id])
    }
  }
}]
