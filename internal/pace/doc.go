// Package pace owns the arithmetic of a hub's allowance: how many operations a second a tier grants, who may use the next
// ones and when, and how an allowance shrinks when the hub throttles and grows back. It is pure: where the ledger is stored,
// and who waits for a slot, is package dispatch's.
package pace
