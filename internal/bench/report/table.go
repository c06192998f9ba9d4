package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// head returns the header line of the tables.
func (r *Report) head() []string {
	head := append(append([]string{""}, r.Systems...), "ratio")
	if r.Targets {
		head = append(head, "target", "")
	}
	return head
}

// texts returns how many of the last columns hold text.
func (r *Report) texts() int {
	if r.Targets {
		return 2
	}
	return 0
}

// line returns a table row with first in its first column.
func (r *Report) line(row row, first string) []string {
	line := []string{first}
	for _, c := range row.Cells {
		line = append(line, c.String())
	}
	line = append(line, row.Ratio)
	if r.Targets {
		line = append(line, row.Target, row.Verdict)
	}
	return line
}

// writeTable writes the figures for a terminal: each case, then one line per figure.
func (r *Report) writeTable(w io.Writer) error {
	lines := [][]string{r.head()}
	last := ""
	for _, row := range r.rows {
		if row.Case != last {
			lines = append(lines, []string{row.Title + " [" + row.Case + "]"})
			last = row.Case
		}
		lines = append(lines, r.line(row, "  "+row.Figure.label()))
	}
	widths := make([]int, len(lines[0]))
	for _, l := range lines {
		if len(l) == 1 {
			continue // a title may span columns
		}
		for i, s := range l {
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, r.Machine)
	fmt.Fprintf(&b, "Medians (smallest–largest); ratio: %s to %s.\n\n", Ours, Reference)
	for _, l := range lines {
		var line strings.Builder
		for i, s := range l {
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(s)))
			if i == 0 || i >= len(widths)-r.texts() {
				s += pad
			} else {
				s = pad + s
			}
			line.WriteString(s + "  ")
		}
		fmt.Fprintln(&b, strings.TrimRight(line.String(), " "))
	}
	if text := r.verdicts(); text != "" {
		fmt.Fprintln(&b, "\n"+text)
	} else if len(r.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdicts returns a summary of the verdicts, or "" if they are not shown.
func (r *Report) verdicts() string {
	count := make(map[string]int)
	all := 0
	for _, row := range r.rows {
		if row.Verdict != "" {
			count[row.Verdict]++
			all++
		}
	}
	if all == 0 || !r.Targets {
		return ""
	}
	return fmt.Sprintf("Targets: %d of %d met (%d also met the stretch goal), %d missed, %d failed.", count[met]+count[aimed], all, count[aimed], count[missed], count[failed])
}

// writeMarkdown writes the figures as Markdown.
func (r *Report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nMedians (smallest–largest); ratio: %s to %s.\n\n", r.Machine, Ours, Reference)
	head := slices.Insert(r.head(), 1, "")
	head[0], head[1] = "case", "figure"
	markdownLine(&b, head)
	b.WriteString("| --- | --- |" + strings.Repeat(" ---: |", len(head)-2-r.texts()) + strings.Repeat(" --- |", r.texts()) + "\n")
	last := ""
	for _, row := range r.rows {
		title := row.Title
		if row.Case == last {
			title = ""
		}
		last = row.Case
		markdownLine(&b, slices.Insert(r.line(row, row.Figure.label()), 0, title))
	}
	if text := r.verdicts(); text != "" {
		fmt.Fprintln(&b, "\n"+text)
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n")
		for _, n := range r.Notes {
			fmt.Fprintln(&b, "*", strings.ReplaceAll(n, "\n", " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func markdownLine(b *strings.Builder, cells []string) {
	for _, c := range cells {
		b.WriteString("| " + strings.ReplaceAll(c, "|", "\\|") + " ")
	}
	b.WriteString("|\n")
}
