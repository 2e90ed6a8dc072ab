// Package template owns placeholders in JSON: {{tags.site}} inside the strings of a value, what they may look like, and what they
// become. It knows nothing of twins or jobs: its caller says which paths there are, and what they stand for. It does no I/O.
//
// Values go into the value's tree, never into text that is read again: a value that looks like a placeholder, or like JSON, stays
// what it is.
package template
