// Package sinks runs the sinks of cache/journal/sqlsink on real databases:
// PostgreSQL and MariaDB as private processes, SQLite in a file. One suite runs on
// all three. Its tests need no REDSTART_FAULTS.
package sinks
