package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/tools/infracheck/kql"
)

// badFixture spoils the shipped infrastructure in one place; want is all that must be said of it.
type badFixture struct {
	file, old, replacement string
	want                   []string // regular expressions, in the order of the findings
}

const (
	mainFile   = "infra/main.bicep"
	paramFile  = "infra/main.bicepparam"
	appFile    = "infra/modules/app.bicep"
	accessFile = "infra/modules/iothub-access.bicep"
	hubsFile   = "infra/modules/hubs.bicep"
	hubFile    = "infra/modules/iothub.bicep"
	idFile     = "infra/modules/identity.bicep"
	logFile    = "infra/modules/monitoring.bicep"
	netFile    = "infra/modules/network.bicep"
	storeFile  = "infra/modules/storage.bicep"
)

func TestEveryRuleRefusesABadFixture(t *testing.T) {
	t.Parallel()
	require.Empty(t, findings(t, shipped(t)), "the fixtures are good before they are spoiled")
	for name, fixture := range badFixtures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := shipped(t)
			change(t, root, fixture.file, fixture.old, fixture.replacement)
			found := findings(t, root)
			require.Len(t, found, len(fixture.want), "%q", found)
			for i, want := range fixture.want {
				require.Regexp(t, want, found[i])
			}
		})
	}
}

func badFixtures() map[string]badFixture {
	all := map[string]badFixture{}
	for _, group := range []map[string]badFixture{
		syntaxFixtures(), nameFixtures(), moduleFixtures(), typeFixtures(), secretFixtures(), securityFixtures(), settingFixtures(), queryFixtures(),
	} {
		maps.Copy(all, group)
	}
	return all
}

func syntaxFixtures() map[string]badFixture {
	return map[string]badFixture{
		"brace missing":      {idFile, "  tags: tags\n}", "  tags: tags\n", []string{`\[syntax\]`}},
		"string not closed":  {hubFile, "minTlsVersion: '1.2'", "minTlsVersion: '1.2", []string{`a string ends on its line`, `\[syntax\]`, `\[syntax\]`}},
		"unknown statement":  {idFile, "param tags object", "parameter tags object", []string{`bicep:10: cannot be parsed: "tags"`}},
		"comma missing":      {storeFile, "'fleetjobsjobs', 'fleetjobsruns'", "'fleetjobsjobs' 'fleetjobsruns'", []string{`comma or a new line is missing before "'fleetjobsruns'"`}},
		"assignment":         {appFile, "reserved: isFlex ? null : true", "reserved: isFlex = true", []string{`assignment is no expression`}},
		"two on a line":      {idFile, "param name string\n\n@description('Azure region.')\n", "param name string @description('Azure region.')\n", []string{`own line`}},
		"string over lines":  {idFile, "@description('Azure region.')", "@description('Azure\nregion.')", []string{`a string ends on its line`}},
		"parameters, broken": {paramFile, "application: 'fleetjobs'\n}", "application: 'fleetjobs'\n", []string{`bicepparam:\d+: .*\[syntax\]`}},
	}
}

func nameFixtures() map[string]badFixture {
	return map[string]badFixture{
		"undeclared name":      {appFile, "serverFarmId: plan.id", "serverFarmId: plam.id", []string{`plam is not declared`}},
		"undeclared in string": {storeFile, "var tableNames", "var unused = '${nowhere}'\nvar tableNames", []string{`nowhere is not declared`, `var unused is not used`}},
		"unknown function":     {mainFile, "toLower(uniqueString(", "toLowercase(uniqueString(", []string{`no function toLowercase`}},
		"unknown decorator":    {idFile, "@description('Tags of the identity.')\n", "@description('Tags.')\n@describe('x')\n", []string{`no decorator describe`}},
		"unused parameter":     {hubFile, "param capacity int\n", "param capacity int\n\n@description('X.')\nparam extra int = 1\n", []string{`param extra is not used`}},
		"declared twice":       {appFile, "var inNetwork =", "var isFlex =", []string{`isFlex is declared twice`, `inNetwork is not declared`, `inNetwork is not declared`, `inNetwork is not declared`}},
		"loop's name outside":  {netFile, "output appSubnetId string = '${vnet.id}/subnets/app'", "output appSubnetId string = target.zone", []string{`target is not declared`}},
	}
}

func moduleFixtures() map[string]badFixture {
	return map[string]badFixture{
		"no such module":     {mainFile, "'modules/identity.bicep'", "'modules/identities.bicep'", []string{`there is no file "modules/identities.bicep"`}},
		"unknown parameter":  {hubsFile, "    capacity: capacity", "    capacity: capacity\n    units: 1", []string{`iothub.bicep has no parameter units`}},
		"parameter missing":  {mainFile, "    retentionDays: logRetentionDays\n", "", []string{`logRetentionDays is not used`, `retentionDays of infra/modules/monitoring.bicep is required`}},
		"unknown output":     {mainFile, "identity.outputs.clientId", "identity.outputs.clientID", []string{`has no output clientID`}},
		"of one of several":  {hubsFile, "furtherAccess[i].outputs.sku", "furtherAccess[i].outputs.tier", []string{`iothub-access.bicep has no output tier`}},
		"outputs of a param": {mainFile, "= storage.outputs.name", "= tags.outputs.name", []string{`tags is no module`}},
		"nothing to use":     {paramFile, "using 'main.bicep'", "using 'other.bicep'", []string{`there is no file "other.bicep"`}},
		"value for nothing":  {paramFile, "param location =", "param region =", []string{`location of infra/main.bicep is required`, `main.bicep has no parameter region`}},
	}
}

func typeFixtures() map[string]badFixture {
	return map[string]badFixture{
		"unknown API version": {
			logFile, "workspaces@2023-09-01", "workspaces@2023-09-02",
			[]string{`known-types.json:1: .*workspaces@2023-09-01 is not used`, `workspaces@2023-09-02 is not in`},
		},
		"child without parent": {appFile, "  parent: app\n  name: 'authsettingsV2'", "  name: 'authsettingsV2'", []string{`resource auth is a child`}},
		"stale type": {
			knownFile, `"types": {`, `"types": {"Microsoft.Cache/redis@2024-03-01": "https://x/2024-03-01/types.md",`,
			[]string{`redis@2024-03-01 is not used`},
		},
		"preview version": {
			knownFile, `"types": {`, `"types": {"Microsoft.Cache/redis@2024-03-01-preview": "https://x/2024-03-01-preview/types.md",`,
			[]string{`no stable API version`},
		},
		"source of another version": {
			knownFile, "generated/iothub/microsoft.devices/2023-06-30/", "generated/iothub/microsoft.devices/2021-07-02/",
			[]string{`IotHubs@2023-06-30: the source does not name its API version`},
		},
		"unknown role": { // Contributor
			accessFile, "4fc6c259-987e-4a07-842e-c321cc9d413f", "b24988ac-6180-42a0-ab88-20f7382dd24c",
			[]string{`IoT Hub Data Contributor is not used`, `b24988ac-.* is not the id of a role`},
		},
		"role of another name": {
			storeFile, "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
			[]string{`Storage Table Data Contributor is not used`, `tableDataContributorRoleId holds the id of "Storage Queue Data Contributor"`},
		},
		"assignment to the whole group": {accessFile, "  scope: hub\n", "", []string{`assignment access reaches beyond one resource`}},
		"principal type missing":        {logFile, "    principalType: 'ServicePrincipal'\n", "", []string{`principalType must be ServicePrincipal`}},
		"role by another road":          {logFile, "subscriptionResourceId('Microsoft.Authorization/roleDefinitions', metricsPublisherRoleId)", "'/x/${metricsPublisherRoleId}'", []string{`must be made by subscriptionResourceId`}},
		"role without a source":         {knownFile, "\"source\": \"https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/monitor\"", "\"source\": \"\"", []string{`Monitoring Metrics Publisher needs an id and a source`}},
	}
}

func secretFixtures() map[string]badFixture {
	const output = "output componentName string = component.name"
	return map[string]badFixture{
		"no description":         {idFile, "@description('Azure region.')\n", "", []string{`param location has no description`}},
		"empty description":      {idFile, "@description('Azure region.')", "@description(' ')", []string{`param location has no description`}},
		"output undescribed":     {hubFile, "@description('Name of the hub.')\noutput", "output", []string{`output name has no description`}},
		"keys in an output":      {storeFile, "string = account.name", "string = account.listKeys().keys[0].value", []string{`account.listKeys fetches a secret`}},
		"keys in a variable":     {storeFile, "var queueNames", "var k = listKeys(account.id, '2023-05-01')\nvar queueNames", []string{`no function listKeys`, `var k is not used`, `listKeys fetches a secret`}},
		"telemetry key":          {logFile, output, "output componentName string = component.properties.InstrumentationKey", []string{`output componentName holds InstrumentationKey`}},
		"secret by a variable":   {logFile, output, "var s = '${component.properties.ConnectionString}'\n@description('X.')\noutput componentName string = s", []string{`output componentName holds ConnectionString`}},
		"secure parameter":       {logFile, output, "@secure()\n@description('X.')\nparam s string = ''\n@description('X.')\noutput componentName string = s", []string{`holds the secure parameter s`}},
		"output named a secret":  {mainFile, "output IDENTITY_CLIENT_ID", "output STORAGE_CONNECTION_STRING", []string{`named like a secret`}},
		"output of a whole hub":  {hubFile, "output name string = hub.name", "output name object = hub.properties", []string{`is a whole object`}},
		"description misspelled": {hubFile, "@description('Size of the hub.')", "@describe('Size of the hub.')", []string{`no decorator describe`, `param sku has no description`}},
	}
}

func securityFixtures() map[string]badFixture {
	return map[string]badFixture{
		"account keys":       {storeFile, "allowSharedKeyAccess: false", "allowSharedKeyAccess: true", []string{`allowSharedKeyAccess must be false`}},
		"keys by parameter":  {storeFile, "allowSharedKeyAccess: false", "allowSharedKeyAccess: !privateOnly", []string{`allowSharedKeyAccess must be false`}},
		"public blobs":       {storeFile, "    allowBlobPublicAccess: false\n", "", []string{`allowBlobPublicAccess must be false`}},
		"public container":   {storeFile, "name: 'app-package'\n  properties: {\n    publicAccess: 'None'", "name: 'app-package'\n  properties: {\n    publicAccess: 'Blob'", []string{`publicAccess must be 'None'`}},
		"http storage":       {storeFile, "supportsHttpsTrafficOnly: true", "supportsHttpsTrafficOnly: false", []string{`supportsHttpsTrafficOnly must be true`}},
		"old TLS, storage":   {storeFile, "'TLS1_2'", "'TLS1_0'", []string{`minimumTlsVersion must be 'TLS1_2'`}},
		"http app":           {appFile, "httpsOnly: true", "httpsOnly: false", []string{`httpsOnly must be true`}},
		"old TLS, app":       {appFile, "      minTlsVersion: '1.2'", "      minTlsVersion: '1.0'", []string{`siteConfig.minTlsVersion must be`}},
		"old TLS, scm":       {appFile, "      scmMinTlsVersion: '1.2'\n", "", []string{`scmMinTlsVersion must be`}},
		"FTP":                {appFile, "ftpsState: 'Disabled'", "ftpsState: 'FtpsOnly'", []string{`ftpsState must be 'Disabled'`}},
		"FTP credentials":    {appFile, "name: 'ftp'\n  properties: {\n    allow: false", "name: 'ftp'\n  properties: {\n    allow: true", []string{`properties.allow must be false`}},
		"scm credentials":    {appFile, "name: 'scm'", "name: 'ftp'", []string{`basic publishing credentials \(scm\)`}},
		"credentials, maybe": {appFile, "resource scmCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' =", "resource scmCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = if (isFlex)", []string{`basic publishing credentials \(scm\)`}},
		"browser's cookies":  {appFile, "supportCredentials: false", "supportCredentials: true", []string{`cors.supportCredentials must be false`}},
		"cookies, by mouth":  {appFile, "        supportCredentials: false\n", "", []string{`cors.supportCredentials must be false`}},
		"hub policies":       {hubFile, "    disableLocalAuth: true\n", "", []string{`disableLocalAuth must be true`}},
		"old TLS, hub":       {hubFile, "    minTlsVersion: '1.2'\n", "", []string{`minTlsVersion must be '1.2'`}},
		"topic's keys":       {"infra/modules/eventgrid.bicep", "disableLocalAuth: true", "disableLocalAuth: false", []string{`disableLocalAuth must be true`}},
		"telemetry keys":     {logFile, "DisableLocalAuth: true", "DisableLocalAuth: false", []string{`DisableLocalAuth must be true`}},
	}
}

func settingFixtures() map[string]badFixture {
	const timer = "  { name: 'FLEETJOBS_TIMER_SCHEDULE', value: timerSchedule }\n"
	return map[string]badFixture{
		"setting misspelled":   {appFile, "'FLEETJOBS_LOG_LEVEL'", "'FLEETJOBS_LOGLEVEL'", []string{`FLEETJOBS_LOGLEVEL is not in docs`}},
		"setting undocumented": {"docs/environment.md", "| `IOTHUB_HOSTNAME` |", "| `IOTHUB_HOST` |", []string{`IOTHUB_HOSTNAME is not in docs`}},
		"timer not set":        {appFile, timer, "  { name: 'FLEETJOBS_SLICE_SECONDS', value: timerSchedule }\n", []string{`FLEETJOBS_TIMER_SCHEDULE is not always set`}},
		"timer on one plan":    {appFile, "concat(handlerSettings,", "concat(isFlex ? handlerSettings : [],", []string{`accountName is not always`, `credential is not`, `clientId is not`, `IOTHUB_HOSTNAME is not`, `TIMER_SCHEDULE is not`}},
		"connection string":    {appFile, timer, timer + "  { name: 'IOTHUB_CONNECTION_STRING', value: timerSchedule }\n", []string{`IOTHUB_CONNECTION_STRING holds a key`}},
		"signing keys":         {appFile, "'@Microsoft.KeyVault(SecretUri=${callbackKeysSecretUri})'", "callbackKeysSecretUri", []string{`FLEETJOBS_CALLBACK_KEYS holds a key; refer to a Key Vault`}},
		"policies":             {appFile, "'@Microsoft.KeyVault(SecretUri=${sasPoliciesSecretUri})'", "sasPoliciesSecretUri", []string{`FLEETJOBS_SAS_POLICIES holds a key; refer to a Key Vault`}},
		"topic's key":          {appFile, "'FLEETJOBS_EVENTGRID_ENDPOINT'", "'FLEETJOBS_EVENTGRID_KEY'", []string{`FLEETJOBS_EVENTGRID_KEY holds a key`}},
		"unclear settings":     {appFile, "otlpSettings, eventGridSettings", "otlpSettings, authAllowedClientIds, eventGridSettings", []string{`cannot tell which settings "authAllowedClientIds" are`}},
		"function gone":        {appFile, "'function:RunShard'", "'function:RunShards'", []string{`no function RunShards`}},
		"queue not created":    {storeFile, ", 'fleetjobs-work-poison'", "", []string{`nothing creates the queue fleetjobs-work-poison`}},
		"other queue":          {"functions/RunShard/function.json", "fleetjobs-work", "fleetjobs-tasks", []string{`queue fleetjobs-tasks`, `queue fleetjobs-tasks-poison`}},
	}
}

func queryFixtures() map[string]badFixture {
	const (
		lag     = "infra/queries/alert-lag.kql"
		running = "infra/queries/running.kql"
		ended   = "infra/queries/ended.kql"
		alerts  = "infra/modules/monitoring-alerts.bicep"
	)
	return map[string]badFixture{
		"event misspelled":     {lag, `"run.firstCall"`, `"run.firstcall"`, []string{`line 6: no sample row gets as far`}},
		"event of the code":    {eventsFile, `"event":"run.firstCall"`, `"event":"run.called"`, []string{`alert-lag.*no sample row`, `queries/lag.*no sample row`}},
		"one event of several": {running, `"run.progress", "run.ended"`, `"run.progress", "run.end"`, []string{`no sample row has the value "run.end"`}},
		"member misspelled":    {lag, "e.lagMs", "e.lagMS", []string{`line 6: no sample row has the member lagMS`}},
		"member of the code":   {eventsFile, `"endReason":"finished"`, `"why":"finished"`, []string{`ended.kql.*no sample row has the member endReason`}},
		"member of another":    {ended, "tostring(e.reasons)", "tostring(e.shards)", []string{`no sample row has the member shards`}},
		"category misspelled":  {lag, "Host.Function.Console", "Host.Functions.Console", []string{`no sample row gets as far`}},
		"column misspelled":    {running, "extend run =", "extend runs =", []string{`line 7: there is no column run`}},
		"not cast":             {lag, "max(todouble(e.lagMs))", "max(e.lagMs)", []string{`line 6: cast what max takes`}},
		"not closed":           {lag, "max(todouble(e.lagMs))", "max(todouble(e.lagMs)", []string{`line 7: "" instead of "\)"`}},
		"operator unknown":     {lag, "| summarize", "| summarise", []string{`line 6: the operator summarise is not known`}},
		"other table":          {lag, "traces\n", "AppTraces\n", []string{`no sample rows of the table AppTraces`}},
		"alert without column": {alerts, "column: 'lagSeconds'", "column: 'lag'", []string{`alert-lag.kql has no column lag of numbers`}},
		"alert's own query":    {alerts, "query: loadTextContent('../queries/alert-lag.kql')", "query: 'traces'", []string{`an alert's query must be a file`, `alert-lag.*no template loads it`}},
		"chart without time":   {"infra/queries/lag.kql", " by bin(timestamp, 5m)\n| order by timestamp asc", "", []string{`lag.kql has no times to draw a linechart over`}},
		"query not there":      {alerts, "alert-lag.kql", "alert-lags.kql", []string{`no file "../queries/alert-lags.kql"`, `alert-lag.kql.*no template loads it`}},
	}
}

// The query asks for the delivery after which the host gives a message up, and for the queue where it puts it.
func TestPoisonIsWhatTheHostCallsSo(t *testing.T) {
	t.Parallel()
	query, err := os.ReadFile(filepath.Join(repository, "infra/queries/alert-poison.kql"))
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(repository, "host.json"))
	require.NoError(t, err)
	var host struct {
		Extensions struct{ Queues struct{ MaxDequeueCount int } }
	}
	require.NoError(t, json.Unmarshal(content, &host))
	require.Contains(t, string(query), fmt.Sprintf("toint(e.dequeueCount) >= %d", host.Extensions.Queues.MaxDequeueCount))
	absolute, err := filepath.Abs(tools)
	require.NoError(t, err)
	p, err := loadProject(t.Context(), repository, absolute)
	require.NoError(t, err)
	require.Len(t, p.queues, 1)
	require.Contains(t, string(query), p.queues[0]+"-poison")
}

// Queries on the page about monitoring find something in the sample lines too.
func TestQueriesOfThePageRun(t *testing.T) {
	t.Parallel()
	absolute, err := filepath.Abs(tools)
	require.NoError(t, err)
	p, err := loadProject(t.Context(), repository, absolute)
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(repository, "docs/monitoring.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```kusto\n(.*?)```").FindAllSubmatch(page, -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		p.texts["block"] = string(block[1])
		_, err := p.try("block")
		require.NoError(t, err, "%s", block[1])
	}
}

// Sums over lines are wrong if some of the lines are thrown away.
func TestLinesThatTheQueriesSumUpAreNotSampled(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(repository, "host.json"))
	require.NoError(t, err)
	var host struct {
		Logging struct {
			ApplicationInsights struct {
				SamplingSettings struct{ ExcludedTypes string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(content, &host))
	require.Contains(t, strings.Split(host.Logging.ApplicationInsights.SamplingSettings.ExcludedTypes, ";"), "Trace")
}

// What the alerts measure in the sample lines, of which the handler writes one for each event.
func TestAlertsMeasureTheSampleLines(t *testing.T) {
	t.Parallel()
	absolute, err := filepath.Abs(tools)
	require.NoError(t, err)
	p, err := loadProject(t.Context(), repository, absolute)
	require.NoError(t, err)
	for name, want := range map[string]kql.Row{
		"poison":     {"messages": int64(1 + len(p.traces)/(1+len(hostLines())))},
		"lag":        {"lagSeconds": 0.85},
		"failures":   {"failurePercent": 1.0},
		"throttling": {"throttledPercent": 2.0},
	} {
		rows, err := p.try("infra/queries/alert-" + name + ".kql")
		require.NoError(t, err, name)
		require.Equal(t, []kql.Row{want}, rows, name)
	}
}

func TestProjectThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, root string){
		"known types": func(t *testing.T, root string) { change(t, root, knownFile, `"types": {`, `"types": [`) },
		"settings": func(t *testing.T, root string) {
			change(t, root, settingsPage, "## Settings of others", "## Other")
		},
		"function": func(t *testing.T, root string) {
			change(t, root, "functions/RunShard/function.json", `"bindings": [`, `"bindings": `)
		},
		"sample lines":   func(t *testing.T, root string) { change(t, root, eventsFile, `"event":"handler.started"`, `"event:`) },
		"infrastructure": func(t *testing.T, root string) { require.NoError(t, os.RemoveAll(filepath.Join(root, "infra"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := shipped(t)
			spoil(t, root)
			absolute, err := filepath.Abs(tools)
			require.NoError(t, err)
			_, err = loadProject(t.Context(), root, absolute)
			require.Error(t, err)
		})
	}
}
