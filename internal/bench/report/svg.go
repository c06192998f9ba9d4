package report

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Sizes of the chart, in pixels.
const (
	panelWidth  = 460
	panelsInRow = 2
	nameWidth   = 110 // for a system's name
	valueWidth  = 90  // for the number after a bar
	barHeight   = 14
	barPitch    = 19
	panelHead   = 42
	panelGap    = 18
	chartHead   = 62
)

// The chart has its own background, dark in dark mode, so that it is readable on any
// page.
const svgStyle = `<style>
svg { color-scheme: light dark }
text { font: 12px system-ui, sans-serif; fill: #24292f }
.back { fill: #ffffff } .title { font-weight: 600; font-size: 13px } .big { font-weight: 600; font-size: 16px }
.weak { fill: #59636e; font-size: 11px } .ours { fill: #1f77b4 } .other { fill: #a8b1bb }
.range { stroke: #24292f; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .back { fill: #0d1117 } .weak { fill: #9198a1 } .ours { fill: #58a6ff } .other { fill: #57606a }
.range { stroke: #e6edf3 }
}
</style>
`

// writeSVG draws one panel per row, with a bar per system for its median and a thin line
// from minimum to maximum.
func (r *Report) writeSVG(w io.Writer) error {
	var rows []row
	for _, row := range r.rows {
		for _, c := range row.Cells {
			if c.N > 0 {
				rows = append(rows, row)
				break
			}
		}
	}
	height := chartHead
	var panels strings.Builder
	for i := 0; i < len(rows); i += panelsInRow {
		tallest := 0
		for j, row := range rows[i:min(i+panelsInRow, len(rows))] {
			tallest = max(tallest, r.panel(&panels, row, panelGap+j*(panelWidth+panelGap), height))
		}
		height += tallest + panelGap
	}
	width := panelGap + panelsInRow*(panelWidth+panelGap)
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %[1]d %[2]d\" role=\"img\" aria-label=\"benchmark\">\n", width, height)
	b.WriteString(svgStyle)
	fmt.Fprintf(&b, "<rect class=\"back\" width=\"%d\" height=\"%d\"/>\n", width, height)
	text(&b, panelGap, 26, "big", "SOCKS5 proxies side by side")
	text(&b, panelGap, 46, "weak", r.Machine.String())
	b.WriteString(panels.String())
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// panel draws one row with its top left corner at x, y, and returns its height.
func (r *Report) panel(b *strings.Builder, row row, x, y int) int {
	better := "higher is better"
	if row.Figure.Less {
		better = "lower is better"
	}
	text(b, x, y+13, "title", row.Title)
	target, verdict := row.Target, row.Verdict
	if !r.Targets {
		target, verdict = "", ""
	}
	text(b, x, y+29, "weak", row.Figure.label()+" ("+better+")"+prefixed("; target: ", target))
	if verdict != "" {
		fmt.Fprintf(b, "<text class=\"weak\" text-anchor=\"end\" x=\"%d\" y=\"%d\">%s</text>\n", x+panelWidth, y+29, html.EscapeString(verdict))
	}
	largest := 0.0
	for _, c := range row.Cells {
		largest = max(largest, c.Max)
	}
	scale := func(v float64) float64 {
		if largest <= 0 {
			return 0
		}
		return max(0, v) / largest * (panelWidth - nameWidth - valueWidth)
	}
	height := panelHead
	for i, c := range row.Cells {
		if c.N == 0 && c.failed == 0 {
			continue
		}
		top := y + height
		class := "other"
		if r.Systems[i] == Ours || r.Systems[i] == OursUnlimited {
			class = "ours"
		}
		text(b, x, top+11, "", r.Systems[i])
		left := float64(x + nameWidth)
		if c.N > 0 {
			fmt.Fprintf(b, "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", class, left, top, scale(c.Median), barHeight)
			fmt.Fprintf(b, "<line class=\"range\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%[2]d\"/>\n", left+scale(c.Min), top+barHeight/2, left+scale(c.Max))
		}
		value := cell{Spread: Spread{Median: c.Median, N: min(c.N, 1)}, failed: c.failed}.String()
		text(b, int(left+scale(c.Max))+6, top+11, "", value)
		height += barPitch
	}
	return height
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func text(b *strings.Builder, x, y int, class, s string) {
	if class != "" {
		class = fmt.Sprintf(" class=%q", class)
	}
	fmt.Fprintf(b, "<text%s x=\"%d\" y=\"%d\">%s</text>\n", class, x, y, html.EscapeString(s))
}
