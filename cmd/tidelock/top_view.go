package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// statistics is what the server had counted at one time.
type statistics struct {
	*wire.StatisticsReply
	at time.Time
}

// rate is how often one thing was counted: since the server's start, and per second
// between two readings.
type rate struct {
	name      string
	count     uint64
	perSecond float64
}

// operationRates are the operations by function and mechanism, whatever code they got.
func operationRates(previous, now statistics) []rate {
	count := func(s statistics) map[string]uint64 {
		counts := make(map[string]uint64)
		for i, function := range s.UseFunctions {
			counts[useFunction(function)+" "+mechanismName(s.UseMechanisms[i])] += s.UseCounts[i]
		}
		return counts
	}
	return rates(previous, now, count)
}

// errorRates are the codes that calls got, without CKR_OK.
func errorRates(previous, now statistics) []rate {
	count := func(s statistics) map[string]uint64 {
		counts := make(map[string]uint64)
		for i, code := range s.CallCodes {
			if cryptoki.RV(code) != cryptoki.CKR_OK {
				counts[cryptoki.RV(code).String()] += s.CallCounts[i]
			}
		}
		return counts
	}
	return rates(previous, now, count)
}

// rates compares two readings. The fastest comes first, then what was counted most.
func rates(previous, now statistics, count func(statistics) map[string]uint64) []rate {
	before, seconds := count(previous), now.at.Sub(previous.at).Seconds()
	var all []rate
	for name, n := range count(now) {
		r := rate{name: name, count: n}
		// A server that started between the readings counts from nothing.
		if n < before[name] {
			before[name] = 0
		}
		if seconds > 0 {
			r.perSecond = float64(n-before[name]) / seconds
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b rate) int {
		return cmp.Or(cmp.Compare(b.perSecond, a.perSecond), cmp.Compare(b.count, a.count), cmp.Compare(a.name, b.name))
	})
	return all
}

// barWidth is the columns of a bar.
const barWidth = 12

// bar shows a share of a whole; whatever is more than nothing shows.
func bar(part, whole float64) string {
	n := 0
	if part > 0 && whole > 0 {
		n = min(max(int(part/whole*barWidth+0.5), 1), barWidth)
	}
	return strings.Repeat("#", n) + strings.Repeat(".", barWidth-n)
}

// view lays out what the HSM did between two readings. No line is longer than width,
// and there are no more lines than height; 0 is as many as it takes.
func view(previous, now statistics, width, height int) string {
	lines := []string{fmt.Sprintf("tidelock  up %v  applications %d  connections %d",
		time.Duration(now.UptimeSeconds)*time.Second, now.Applications, now.Connections)}
	partitions, errors, operations := partitionLines(now), rateLines(errorRates(previous, now)), rateLines(operationRates(previous, now))
	if height > 0 {
		// Of each section the title, and a line between it and the one above.
		room := max(height-len(lines)-6, 0)
		partitions = shorten(partitions, room/3)
		errors = shorten(errors, room/4)
		operations = shorten(operations, room-len(partitions)-len(errors))
	}
	for _, section := range []struct {
		title string
		lines []string
	}{
		{fmt.Sprintf("%-36s %-*s %10s %12s", "OPERATIONS", barWidth, "", "per second", "total"), operations},
		{fmt.Sprintf("%-36s %-*s %10s %12s", "ERRORS", barWidth, "", "per second", "total"), errors},
		{fmt.Sprintf("%4s %-31s %-*s %5s %8s %8s", "SLOT", "PARTITION", barWidth, "", "used", "objects", "sessions"), partitions},
	} {
		lines = append(append(lines, "", section.title), section.lines...)
	}
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(strings.TrimRight(cut(line, width), " "))
		text.WriteByte('\n')
	}
	return text.String()
}

func rateLines(all []rate) []string {
	var lines []string
	for _, r := range all {
		lines = append(lines, fmt.Sprintf("%-36s %s %10.1f %12d", cut(r.name, 36), bar(r.perSecond, all[0].perSecond), r.perSecond, r.count))
	}
	return orNone(lines)
}

func partitionLines(s statistics) []string {
	var lines []string
	for i, slot := range s.Slots {
		used, total := float64(s.UsedBytes[i]), float64(s.TotalBytes[i])
		lines = append(lines, fmt.Sprintf("%4d %-31s %s %4.0f%% %8d %8d", slot, cut(printable(s.Labels[i]), 31),
			bar(used, total), 100*used/max(total, 1), s.Objects[i], s.Sessions[i]))
	}
	return orNone(lines)
}

func orNone(lines []string) []string {
	if len(lines) == 0 {
		return []string{"none"}
	}
	return lines
}

// shorten keeps the first lines, and says how many it left out.
func shorten(lines []string, room int) []string {
	room = max(room, 1)
	if len(lines) <= room {
		return lines
	}
	return append(slices.Clone(lines[:room-1]), fmt.Sprintf("and %d more", len(lines)-room+1))
}

// cut is the first width characters of a text.
func cut(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:width])
	}
	return text
}
