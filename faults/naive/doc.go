// Package naive has the recipes as tutorials print them, over a plain rueidis
// client. They are what the matrix's checkers must fail on; do not use them.
package naive
