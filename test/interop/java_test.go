package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// javaMain begins each command line that runs a suite's class.
const javaMain = "org.junit.platform.console.ConsoleLauncher"

// java is a JDK with Microsoft's SDKs for Java, and the suites, compiled.
type java struct {
	classPath, trusted string
}

// installJava gives Java with Microsoft's SDKs, by their content those of jars.sha256. It installs JDK and Maven where they are
// missing and Debian's packages may be installed.
func installJava(t *testing.T, caFile string) java {
	t.Helper()
	if _, err := exec.LookPath("mvn"); err != nil {
		if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
			t.Skip("the suites of Java need a JDK and Maven")
		}
		run(t, exec.CommandContext(t.Context(), "sh", "-c", "apt-get update -qq && apt-get install -qq --no-install-recommends default-jdk-headless maven"))
	}
	dir := installed(t, "interop-java", []string{"java/pom.xml", "java/jars.sha256"}, func(dir string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "mvn", "--quiet", "--batch-mode", "--file", filepath.Join(dir, "pom.xml"),
			"dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(dir, "jars"))
	})
	locked, err := os.ReadFile("java/jars.sha256")
	require.NoError(t, err)
	require.Equal(t, string(locked), sums(t, filepath.Join(dir, "jars")), "the packages are not the ones that java/jars.sha256 names")

	temp := t.TempDir()
	j := java{
		classPath: filepath.Join(dir, "jars", "*") + string(os.PathListSeparator) + filepath.Join(temp, "classes"),
		trusted:   filepath.Join(temp, "trusted.p12"),
	}
	run(t, exec.CommandContext(t.Context(), "keytool", "-importcert", "-noprompt", "-alias", "hub", "-file", caFile, "-keystore", j.trusted, "-storepass", "public"))
	sources, err := filepath.Glob("java/*.java")
	require.NoError(t, err)
	run(t, exec.CommandContext(t.Context(), "javac", append([]string{"-cp", j.classPath, "-d", filepath.Join(temp, "classes")}, sources...)...))
	return j
}

// sums gives the files of a folder as sha256sum prints them.
func sums(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	var b strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		require.NoError(t, err)
		sum := sha256.Sum256(content)
		fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(sum[:]), file.Name())
	}
	return b.String()
}

// java runs the suites of Java, one class after the other.
func (w *world) java(t *testing.T, s server) {
	installed := installJava(t, w.CAFile)
	var port string
	s.connection, port = renamed(s.connection, s.hostName)
	java := installed.runtime(t, "127.0.0.1:"+port, w.MQTTAddr)
	for _, class := range []string{"JobsTest", "ServiceTest"} {
		t.Run(class, func(t *testing.T) {
			id := s.name + "-" + class
			device, _ := renamed(w.register(t, id), hubName)
			run(t, java.command(t, class, s.variables(id, device)...))
		})
	}
}

// runtime is Java for clients that can not be told a port: the names of hub and app lead to an address of this machine where the
// server and the hub's MQTT listen at the ports that the SDKs take. Without the right to listen there, the test is skipped.
func (j java) runtime(t *testing.T, server, mqtt string) runtime {
	t.Helper()
	address := net.IPv4(127, byte(1+rand.IntN(254)), byte(rand.IntN(255)), byte(1+rand.IntN(254))).String()
	forward(t, address+":443", server)
	forward(t, address+":8883", mqtt)
	hosts := filepath.Join(t.TempDir(), "hosts")
	require.NoError(t, os.WriteFile(hosts, []byte(address+" "+hubName+"\n"+address+" "+appName+"\n"), 0o600))
	return runtime{program: []string{
		"java", "-Djdk.net.hosts.file=" + hosts, "-Djavax.net.ssl.trustStore=" + j.trusted, "-Djavax.net.ssl.trustStorePassword=public",
		"-cp", j.classPath, javaMain, "execute", "--details=tree", "--disable-ansi-colors", "--disable-banner", "--fail-if-no-tests", "--select-class",
	}}
}

// forward carries connections on to another address until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", from)
	if errors.Is(err, os.ErrPermission) {
		t.Skip("the SDK for Java takes port 443, at which this user may not listen")
	}
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		<-done
	})
	go func() {
		defer close(done)
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed
			}
			far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go join(near, far)
			go join(far, near)
		}
	}()
}

// join copies what from sends, and closes both when that ends.
func join(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = to.Close()
}

// renamed gives a connection string the host name that it would have in Azure, and tells the port that it had.
func renamed(connection, name string) (azure, port string) {
	host, rest, _ := strings.Cut(strings.TrimPrefix(connection, "HostName="), ";")
	_, port, _ = strings.Cut(host, ":")
	return "HostName=" + name + ";" + rest, port
}
