// Package house holds the tests about the tree itself: that imports only point down, what each module may depend
// on, how long a file may be, what every doc.go and every script's header must say. Each check is a function over
// an fs.FS, so that a small bad tree beside it shows that it can fail.
package house
