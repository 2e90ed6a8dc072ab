// The stub stands for the handler in the packaging test.
package main

import "os"

var version string

func main() { _, _ = os.Stdout.WriteString(version + "\n") }
