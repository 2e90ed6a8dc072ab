package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
)

const (
	repository = "../.."
	tools      = "../../.tools"
)

// shipped copies what infracheck reads of the repository to a folder.
func shipped(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"infra", "functions"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(repository, dir))))
	}
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(eventsFile)), 0o755))
	for _, name := range []string{settingsPage, eventsFile} {
		content, err := os.ReadFile(filepath.Join(repository, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, name), content, 0o600))
	}
	return root
}

// change replaces the one place of a file where old stands.
func change(t *testing.T, root, name, old, replacement string) {
	t.Helper()
	path := filepath.Join(root, name)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(content), old), "%q in %s", old, name)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(content), old, replacement, 1)), 0o600))
}

func findings(t *testing.T, root string) []string {
	t.Helper()
	absolute, err := filepath.Abs(tools)
	require.NoError(t, err)
	p, err := loadProject(t.Context(), root, absolute)
	require.NoError(t, err)
	found := []string{}
	for _, f := range p.check() {
		found = append(found, f.String())
	}
	return found
}

func TestShippedInfrastructureIsInOrder(t *testing.T) {
	t.Parallel()
	require.Empty(t, findings(t, repository))

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-root", repository}, &out))
	require.Regexp(t, `^infracheck: \d+ files in order\n$`, out.String())
}

func TestFaultsArePrintedWithTheirPlaceAndFail(t *testing.T) {
	t.Parallel()
	root := shipped(t)
	change(t, root, "infra/modules/iothub.bicep", "disableLocalAuth: true", "disableLocalAuth: false")
	absolute, err := filepath.Abs(tools)
	require.NoError(t, err)
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-root", root, "-tools", absolute}, &out), "1 faults")
	require.Regexp(t, `^infra/modules/iothub\.bicep:19: .*disableLocalAuth must be true \[security\]\n$`, out.String())
}

// The ids as Microsoft lists them, typed in a second time: a slip of the pen in known-types.json would otherwise vouch
// for itself.
func TestRoleIDsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(repository, knownFile))
	require.NoError(t, err)
	var known knownTypes
	require.NoError(t, json.Unmarshal(content, &known))
	ids := map[string]string{}
	for name, role := range known.Roles {
		ids[name] = role.ID
	}
	require.Equal(t, map[string]string{
		"Storage Blob Data Contributor":  "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
		"EventGrid Data Sender":          "d5a91429-5739-47e2-a06b-3470a27159e7",
		"IoT Hub Data Contributor":       "4fc6c259-987e-4a07-842e-c321cc9d413f",
		"Monitoring Metrics Publisher":   "3913510d-42f4-4e42-8a64-420c390055eb",
		"Storage Blob Data Owner":        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
		"Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
		"Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
	}, ids)
}

// azd finds the function app by a tag, and deploys the folder that its hook fills from what make package makes.
func TestAzdFindsTheAppAndThePackage(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(repository, "azure.yaml"))
	require.NoError(t, err)
	service := regexp.MustCompile(`(?m)^services:\n(?:  #.*\n)?  (\S+):$`).FindStringSubmatch(string(content))
	require.NotNil(t, service)
	app, err := os.ReadFile(filepath.Join(repository, "infra/modules/app.bicep"))
	require.NoError(t, err)
	require.Contains(t, string(app), "'azd-service-name': '"+service[1]+"'")

	dist := regexp.MustCompile(`(?m)^    dist: (\S+)$`).FindStringSubmatch(string(content))
	require.NotNil(t, dist)
	hook := regexp.MustCompile(`(?m)^      prepackage:\n        shell: sh\n        run: (.*)$`).FindStringSubmatch(string(content))
	require.NotNil(t, hook)
	require.True(t, strings.HasPrefix(hook[1], "make package && "))
	require.True(t, strings.HasSuffix(hook[1], " unzip -q dist/fleetjobs-linux-amd64.zip -d "+dist[1]))
}

// The tables that the handler opens are those that the deployment creates.
func TestTablesAreThoseOfTheStore(t *testing.T) {
	t.Parallel()
	store, err := os.ReadFile(filepath.Join(repository, "internal/tablestore/store.go"))
	require.NoError(t, err)
	storage, err := os.ReadFile(filepath.Join(repository, "infra/modules/storage.bicep"))
	require.NoError(t, err)
	prefix := regexp.MustCompile(`prefix := "(\w+)"`).FindSubmatch(store)
	require.NotNil(t, prefix)
	var names []string
	for _, m := range regexp.MustCompile(`prefix \+ "(\w+)"`).FindAllSubmatch(store, -1) {
		names = append(names, "'"+string(prefix[1])+string(m[1])+"'")
	}
	require.NotEmpty(t, names)
	require.Contains(t, string(storage), "var tableNames = ["+strings.Join(names, ", ")+"]\n")
}

// The handler checks its settings when it starts; it must take those of the template.
func TestTheHandlerStartsWithTheSettingsOfTheTemplate(t *testing.T) {
	t.Parallel()
	absolute, err := filepath.Abs(tools)
	require.NoError(t, err)
	p, err := loadProject(t.Context(), repository, absolute)
	require.NoError(t, err)
	schedule := literal(p.files[mainFile].find("timerSchedule").value)
	values := map[string]string{ // of what is known at deployment only
		"account.name":                          "stfleetjobsabcdefghijklm",
		"identity.properties.clientId":          "7e0f5c1c-6c1b-4d52-8f0e-0a9a1d1b2c3d",
		"iotHubHostName":                        "iot-fleetjobs.azure-devices.net",
		"string(furtherHubs)":                   `[{"name":"plant-b","hostname":"plant-b.azure-devices.net","tier":"S1","units":2}]`,
		"timerSchedule":                         schedule,
		"logLevel":                              literal(p.files[mainFile].find("logLevel").value),
		"publicUrl":                             "https://jobs.example.com",
		"otlpEndpoint":                          "http://collector:4318",
		"eventGridEndpoint":                     "https://evgt-fleetjobs.westeurope-1.eventgrid.azure.net/api/events",
		"callbackAllow":                         "10.1.0.0/16,hooks.internal",
		"authTenantId":                          "11111111-2222-3333-4444-555555555555",
		"hubTokenAudiences":                     "https://iothubs.azure.net",
		"hubTokenPrincipals":                    "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee=ServiceConnect",
		"string(maxCallsInFlight)":              p.files[mainFile].find("maxCallsInFlight").value.Text,
		"component.properties.ConnectionString": "InstrumentationKey=0",
	}
	environ := []string{"WEBSITE_HOSTNAME=func-fleetjobs.azurewebsites.net", "FUNCTIONS_APP_ROOT_PATH=" + repository}
	app := p.files[appFile]
	for _, s := range app.settings(property(app.find("app").body(), "properties.siteConfig.appSettings"), true) {
		value := property(s.node, "value")
		if known, ok := values[value.Text]; ok {
			environ = append(environ, s.name+"="+known)
		} else {
			environ = append(environ, s.name+"="+literal(value))
		}
	}
	got, err := config.Load(environ)
	require.NoError(t, err)
	require.Equal(t, schedule, got.TimerSchedule)
	require.Equal(t, "managedidentity", got.Storage.Credential)
	require.Equal(t, 512, got.MaxCallsInFlight, "as without the setting")
	require.Equal(t, "iot-fleetjobs.azure-devices.net", got.Hub.Hostname)
	require.Equal(t, "plant-b.azure-devices.net", got.Hubs.Further[0].Hostname)
}

// What the page says that the deployment sets, the template does set.
func TestSettingsOfTheDeploymentAreThoseOfThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(repository, settingsPage))
	require.NoError(t, err)
	absolute, err := filepath.Abs(tools)
	require.NoError(t, err)
	p, err := loadProject(t.Context(), repository, absolute)
	require.NoError(t, err)
	app := p.files[appFile]
	set := map[string]bool{}
	for _, s := range app.settings(property(app.find("app").body(), "properties.siteConfig.appSettings"), true) {
		set[s.name] = true
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| [^|]*the deployment[^|]* \\|").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, rows)
	for _, row := range rows {
		require.Contains(t, set, row[1])
	}
}

// Headers that tell who calls may be believed only where App Service writes them: the handler is told so under the condition
// under which App Service is.
func TestTheHandlerTrustsCallersOnlyWhereEasyAuthIsOn(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(repository, appFile))
	require.NoError(t, err)
	app := string(content)
	require.Equal(t, 1, strings.Count(app, "FLEETJOBS_EASY_AUTH"))
	require.Regexp(t, `var (\w+) = empty\(authClientId\) \? \[\] : \[\n  \{ name: 'FLEETJOBS_EASY_AUTH', value: 'true' \}`, app)
	require.Regexp(t, `'Microsoft\.Web/sites/config@[^']+' = if \(!empty\(authClientId\)\) \{\n  parent: app\n  name: 'authsettingsV2'`, app)
}
