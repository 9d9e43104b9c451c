package trace

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// readCSV takes the keys from the column of that name; the first record is the header.
func readCSV(b *builder, in io.Reader, column string) error {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	r.FieldsPerRecord = -1 // a short record is a line without a key, not the end of the file
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // a spreadsheet's byte order mark
	at := slices.Index(header, column)
	if at < 0 {
		return fmt.Errorf("%w: no column %q; there are: %s", ErrFormat, column, strings.Join(header, ", "))
	}
	for !b.full() {
		record, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, csv.ErrQuote), errors.Is(err, csv.ErrBareQuote):
			b.add("", false)
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case len(record) <= at:
			b.add("", false)
		default:
			b.add(record[at], true)
		}
	}
	return nil
}
