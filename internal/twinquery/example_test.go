package twinquery_test

import (
	"fmt"
	"slices"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// A job's condition is checked when the job is created, not when it runs.
func ExampleParseCondition() {
	c, err := twinquery.ParseCondition("tags.building = 43 AND tags.floor IN [1,2]")
	fmt.Println(c, err)
	fmt.Println(c.Query("deviceId"))

	_, err = twinquery.ParseCondition("tags.plant LIKE 'Red%'")
	fmt.Println(err)
	// Output:
	// tags.building = 43 AND tags.floor IN [1, 2] <nil>
	// SELECT deviceId FROM devices WHERE tags.building = 43 AND tags.floor IN [1,2]
	// 1:12: expected an operator or the end of the text, found "LIKE"; hint: there is no LIKE; for a prefix use STARTSWITH(path, 'prefix')
}

// What the parser can read but does not know is for the hub to decide.
func ExampleCondition_unknown() {
	c, err := twinquery.ParseCondition("LOWER(tags.plant) = 'redmond'")
	fmt.Println(err)
	for _, u := range c.Unknown {
		fmt.Println(u)
	}
	// Output:
	// <nil>
	// 1:1: unknown function LOWER: twin queries are known to have IS_DEFINED and STARTSWITH only
}

func ExampleMatch() {
	c, _ := twinquery.ParseCondition("NOT tags.floor = 2")
	there := twinquery.Map{"tags": map[string]any{"floor": 1}}
	missing := twinquery.Map{}
	fmt.Println(twinquery.Match(c.Expr, there, twinquery.Options{}))
	fmt.Println(twinquery.Match(c.Expr, missing, twinquery.Options{}))
	fmt.Println(twinquery.Match(c.Expr, missing, twinquery.Options{NotUndefinedIsTrue: true}))
	// Output:
	// true
	// false
	// true
}

func ExampleQuery_Run() {
	q, err := twinquery.ParseQuery("SELECT status, COUNT() AS numberOfDevices FROM devices GROUP BY status")
	if err != nil {
		fmt.Println(err)
		return
	}
	fleet := []twinquery.Document{
		twinquery.Map{"deviceId": "a", "status": "enabled"},
		twinquery.Map{"deviceId": "b", "status": "disabled"},
		twinquery.Map{"deviceId": "c", "status": "enabled"},
	}
	for row := range q.Run(slices.Values(fleet), twinquery.Options{}) {
		fmt.Println(row["status"], row["numberOfDevices"])
	}
	// Output:
	// enabled 2
	// disabled 1
}
