package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var page string

//go:embed page.css
var style string

// HTML writes one page with a section per report. It stands alone: no script, nothing to fetch. made says when and where
// it was made.
func HTML(w io.Writer, reports []*Report, made string) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		Style   template.CSS
		Reports []*Report
		Made    string
	}{template.CSS(style), reports, made}) //nolint:gosec // the style sheet is our own file
}
