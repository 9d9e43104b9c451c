// Package lock gives one of many processes the right to do something.
package lock
