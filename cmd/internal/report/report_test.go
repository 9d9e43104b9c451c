package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redstart-go/redstart/cmd/internal/chart"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sample() *Report {
	type result struct {
		Recipe string `json:"recipe"`
		Stale  int    `json:"stale_reads"`
	}
	return &Report{
		Scenario: "web-cache",
		Title:    "read-through caching",
		Server:   "redis 7.0.15, private",
		Input:    Input{Requests: 10000, Keys: 1498},
		Fault:    "none",
		Results:  []result{{"get/setex", 312}, {"redstart", 0}},
		Headline: "The recipe everyone copies served 312 stale values and loaded one cold key 48 times. Redstart served no stale values and loaded it once.",
		Findings: []string{"Of 40 values that were read to their end, none was missed & nobody waited."},
		Table: Table{
			Head: []string{"recipe", "loads", "p99", "stale"},
			Rows: [][]Cell{
				{{Text: "get/setex"}, {Text: "2,310"}, {Text: "3.2 ms"}, {Text: "312", Mood: Bad}},
				{{Text: "redstart <&>"}, {Text: "1,977"}, {Text: "87 µs"}, {Text: "0", Mood: Good}},
			},
		},
		Figures: []Figure{{
			Title: "Stale values", Caption: "Reads <begun> after.",
			Picture: chart.Bars([]chart.Bar{{Label: "get/setex", Value: 312, Tone: chart.First}, {Label: "redstart", Value: 0, Tone: chart.Ours}}),
			Legend:  []Key{{Tone: "bad", Text: "failed"}},
		}},
		Recipes: []Note{{"get/setex", "GET, query, SETEX."}},
		Notes:   []Note{{"Traffic", "A log & more."}},
	}
}

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		file  string
		write func(*bytes.Buffer) error
	}{
		{"plain.txt", func(b *bytes.Buffer) error { return sample().Text(b, false) }},
		{"colour.txt", func(b *bytes.Buffer) error { return sample().Text(b, true) }},
		{"result.json", func(b *bytes.Buffer) error { return sample().JSON(b) }},
		{"page.html", func(b *bytes.Buffer) error { return HTML(b, []*Report{sample()}, "Made today.") }},
	} {
		t.Run(c.file, func(t *testing.T) {
			var b bytes.Buffer
			if err := c.write(&b); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", c.file)
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("differs from %s (go test -update writes it anew):\n%s", golden, b.String())
			}
		})
	}
}

func TestPageStandsAlone(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, []*Report{sample(), sample()}, "Made today."); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "http://", "https://", "url(", "@import", "<begun>"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if n := strings.Count(b.String(), "<article>"); n != 2 {
		t.Errorf("%d sections for two reports", n)
	}
}
