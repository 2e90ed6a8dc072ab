package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// meterWindow is how far back the rate looks: long enough to be steady, short enough to notice a change.
const meterWindow = 10 * time.Second

// meter turns what was seen of a job into a rate and a time left. Its zero value is ready.
type meter struct {
	samples []sample
}

type sample struct {
	at   time.Time
	done int
}

// see adds what a job showed at now.
func (m *meter) see(job *client.Job, now time.Time) {
	if job.Status == "scheduled" {
		return // waiting says nothing about the rate
	}
	m.samples = append(m.samples, sample{now, job.Done()})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= meterWindow {
		m.samples = m.samples[1:]
	}
}

// rate is the number of devices that ended per second, 0 while that is unknown.
func (m *meter) rate() float64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	elapsed := last.at.Sub(first.at).Seconds()
	if elapsed <= 0 || last.done <= first.done {
		return 0
	}
	return float64(last.done-first.done) / elapsed
}

// line describes a job in at most width columns if there is a width; with one it draws a bar.
func (m *meter) line(job *client.Job, now time.Time, width int) string {
	switch job.Status {
	case "scheduled":
		if wait := job.StartTime.Sub(now); wait > 0 {
			return fit(fmt.Sprintf("scheduled  begins in %s", short(wait)), width)
		}
		return fit("scheduled  is due", width)
	case "blocked", "paused":
		return fit(job.Status+"  "+plain(job.StatusMessage), width)
	}
	done, total := job.Done(), job.Statistics.DeviceCount
	more := ""
	if job.Selection.State == "selecting" {
		more = "+" // devices are still being selected: the total grows
	}
	parts := []string{fmt.Sprintf("%s/%s%s", count(done), count(total), more)}
	if total > 0 {
		parts = append(parts, fmt.Sprintf("%d%%", 100*done/total))
	}
	if rate := m.rate(); rate > 0 && !job.Ended() {
		parts = append(parts, fmt.Sprintf("%s/s", perSecond(rate)))
		if more == "" && done < total {
			parts = append(parts, short(time.Duration(float64(total-done)/rate*float64(time.Second)))+" left")
		}
	}
	if failed := job.Statistics.FailedCount; failed > 0 {
		parts = append(parts, count(failed)+" not succeeded")
	}
	head := plain(job.Status) + "  "
	tail := strings.Join(parts, "  ")
	bar := min(width-len(head)-len(tail)-6, 40)
	if bar >= 10 {
		head += drawBar(bar, done, total) + "  "
	}
	return fit(head+tail, width)
}

func perSecond(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return count(int(rate + 0.5))
}

func drawBar(width, done, total int) string {
	full := 0
	if total > 0 {
		full = width * done / total
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// fit cuts text to less than width columns, so that a terminal does not break the line; 0 is no limit.
func fit(text string, width int) string {
	if width < 2 {
		return text
	}
	return cutTo(text, width-1)
}
