// Package report shows what a scenario of the lab found: as a table for a terminal, as JSON for programs, and as an HTML
// page with pictures for people.
package report

import (
	"cmp"
	"encoding/json"
	"html/template"
	"io"
)

// Report is the outcome of one scenario.
type Report struct {
	// Scenario is the scenario's name, Title what it is about.
	Scenario, Title string
	// Server says what the scenario ran on.
	Server string
	Input  Input
	// Fault is "none", the fault that was made, or "<fault>: skipped: <reason>".
	Fault string
	// Results is the list that stands in the JSON: one struct per recipe.
	Results any
	// Headline tells the story in a sentence or two.
	Headline string
	// Findings are what else it found, a paragraph each.
	Findings []string
	Table    Table
	Figures  []Figure
	// Recipes say what each contestant does and where it goes wrong.
	Recipes []Note
	// Notes say how it was measured.
	Notes []Note
}

// Input says how much traffic a scenario ran.
type Input struct {
	Requests int `json:"requests"`
	Keys     int `json:"keys"`
	// Request and Key are what one of them is called. Default: request, key.
	Request string `json:"-"`
	Key     string `json:"-"`
}

// String is the input for people.
func (i Input) String() string {
	return Counted(i.Requests, cmp.Or(i.Request, "request")) + ", " + Counted(i.Keys, cmp.Or(i.Key, "key"))
}

// Figure is a picture with its caption.
type Figure struct {
	Title, Caption string
	// Picture is an inline SVG.
	Picture template.HTML
	// Wide gives it a row of its own.
	Wide bool
	// Legend explains the colours, if the picture does not.
	Legend []Key
}

// Key is one entry of a legend; Tone is one of package chart's.
type Key struct{ Tone, Text string }

// Note is a paragraph with a head.
type Note struct{ Head, Text string }

// JSON writes the report as one object on one line.
func (r *Report) JSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(struct {
		Scenario string `json:"scenario"`
		Server   string `json:"server"`
		Input    Input  `json:"input"`
		Fault    string `json:"fault"`
		Results  any    `json:"results"`
	}{r.Scenario, r.Server, r.Input, r.Fault, r.Results})
}
