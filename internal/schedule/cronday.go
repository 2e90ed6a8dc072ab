package schedule

import (
	"math/bits"
	"time"
)

// searchYears is how far next looks. The rarest dates, 29 February on a given weekday, are at most 40 years apart.
const searchYears = 50

// lastYear is the last that RFC 3339 can write.
const lastYear = 9999

// next gives the first wall time after the given one that matches, false when there is none within searchYears.
func (c *Cron) next(after Civil) (Civil, bool) {
	t := (after + 1).utc()
	year, month, dom := t.Date()
	last := min(year+searchYears, lastYear)
	if c.month&(1<<month) != 0 && c.dayFrom(year, month, dom) == dom {
		if second, ok := c.timeFrom(t.Clock()); ok {
			return civil(year, month, dom, second), true
		}
	}
	first, _ := c.timeFrom(0, 0, 0)
	for dom++; year <= last; year, month, dom = nextMonth(year, month) {
		if c.month&(1<<month) == 0 {
			continue
		}
		if d := c.dayFrom(year, month, dom); d > 0 {
			return civil(year, month, d, first), true
		}
	}
	return 0, false
}

func civil(year int, month time.Month, dom, second int) Civil {
	return Civil(time.Date(year, month, dom, 0, 0, second, 0, time.UTC).Unix())
}

func nextMonth(year int, month time.Month) (int, time.Month, int) {
	if month == time.December {
		return year + 1, time.January, 1
	}
	return year, month + 1, 1
}

// timeFrom gives the first matching second of the day at or after h:m:s, false when the day has none left.
func (c *Cron) timeFrom(h, m, s int) (int, bool) {
	if c.hour&(1<<h) != 0 {
		if c.minute&(1<<m) != 0 {
			if s := nextBit(c.second, s); s >= 0 {
				return h*3600 + m*60 + s, true
			}
		}
		if m := nextBit(c.minute, m+1); m >= 0 {
			return h*3600 + m*60 + nextBit(c.second, 0), true
		}
	}
	if h = nextBit(c.hour, h+1); h < 0 {
		return 0, false
	}
	return h*3600 + nextBit(c.minute, 0)*60 + nextBit(c.second, 0), true
}

// nextBit gives the lowest bit of set from the given one on, -1 when there is none.
func nextBit(set uint64, from int) int {
	if set >>= from; set == 0 {
		return -1
	}
	return from + bits.TrailingZeros64(set)
}

// dayFrom gives the first day of the month, from the given one on, that matches both kinds of day; 0 when there is none.
func (c *Cron) dayFrom(year int, month time.Month, dom int) int {
	end := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC)
	m := monthShape{days: end.Day(), first: (int(end.Weekday()) - end.Day() + 1 + 35) % 7}
	for d := dom; d <= m.days; d++ {
		if c.matchDom(m, d) && c.matchDow(m, d) {
			return d
		}
	}
	return 0
}

// monthShape is a month's length and the weekday of its first day.
type monthShape struct{ days, first int }

func (m monthShape) weekday(d int) int { return (m.first + d - 1) % 7 }

// work gives the weekday (Monday to Friday) nearest to day d in the same month.
func (m monthShape) work(d int) int {
	switch m.weekday(d) {
	case 6:
		if d == 1 {
			return 3
		}
		return d - 1
	case 0:
		if d == m.days {
			return d - 2
		}
		return d + 1
	}
	return d
}

func (c *Cron) matchDom(m monthShape, d int) bool {
	if c.dom&(1<<d) != 0 || c.fromLast&(1<<(m.days-d)) != 0 || c.lastWork && d == m.work(m.days) {
		return true
	}
	for n := nextBit(c.nearest, 0); n > 0 && n <= m.days; n = nextBit(c.nearest, n+1) {
		if m.work(n) == d {
			return true
		}
	}
	return false
}

func (c *Cron) matchDow(m monthShape, d int) bool {
	w := m.weekday(d)
	return c.dow&(1<<w) != 0 || c.nth[w]&(1<<((d-1)/7+1)) != 0 || c.lastDow&(1<<w) != 0 && d+7 > m.days
}
