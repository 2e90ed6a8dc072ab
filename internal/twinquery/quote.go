package twinquery

// Quote gives text as a string of the language, in its documented escapes.
func Quote(text string) string {
	var p printer
	p.quote(text)
	return p.String()
}
