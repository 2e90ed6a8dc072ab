package fleetsim

// choice is a value and the share of the devices up to which it goes.
type choice struct {
	upTo  float64
	value string
}

// pick returns the value at quantile u.
func pick(u float64, choices ...choice) string {
	for _, c := range choices {
		if u < c.upTo {
			return c.value
		}
	}
	return choices[len(choices)-1].value
}

// tags returns the tags of a device.
func (f *Fleet) tags(id string) map[string]any {
	u := func(name string) float64 { return f.dice.Of(name + "/" + id) }
	site := pick(u("site"), choice{0.35, "amsterdam"}, choice{0.6, "chicago"}, choice{0.85, "osaka"}, choice{1, "nairobi"})
	return map[string]any{
		"building": 1 + int(u("building")*60),
		"floor":    1 + int(u("floor")*12),
		"site":     site,
		"env":      pick(u("env"), choice{0.8, "prod"}, choice{0.95, "staging"}, choice{1, "test"}),
		"ring":     pick(u("ring"), choice{0.01, "canary"}, choice{0.1, "early"}, choice{1, "broad"}),
		"model":    pick(u("model"), choice{0.5, "lock-1"}, choice{0.75, "lock-2"}, choice{0.9, "gate-1"}, choice{1, "sensor-3"}),
		"location": map[string]any{"region": region(site)},
	}
}

func region(site string) string {
	switch site {
	case "chicago":
		return "us"
	case "osaka":
		return "apac"
	default:
		return "emea"
	}
}

// desired returns the desired properties that every device begins with.
func desired() map[string]any { return map[string]any{"telemetryInterval": 60} }

// reported returns the reported properties of a device.
func (f *Fleet) reported(id string) map[string]any {
	u := func(name string) float64 { return f.dice.Of(name + "/" + id) }
	return map[string]any{
		"firmware": pick(u("firmware"), choice{0.05, "1.8"}, choice{0.15, "1.9"}, choice{0.35, "2.0"}, choice{0.6, "2.1"},
			choice{0.9, "2.2"}, choice{1, "2.3"}),
		"battery":           5 + int(u("battery")*96),
		"telemetryInterval": 60,
		"connectivity": map[string]any{
			"type": pick(u("connectivity"), choice{0.6, "wifi"}, choice{0.9, "lte"}, choice{1, "ethernet"}),
		},
	}
}
