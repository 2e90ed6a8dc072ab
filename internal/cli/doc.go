// Package cli is the command line program fleetjobs: its commands, flags, help, what they print and how they exit.
//
// It owns the words that a person at a terminal reads. It does not own the HTTP API's client (package client), the local
// stack (package devstack) or the simulators (packages hubsim, fleetsim, devicesim): commands only join them to flags.
package cli
