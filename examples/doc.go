// Package examples holds services built with Redstart: each folder is one, to
// be read from its doc.go on, and runs as a test on every server found.
//
//   - limitchi, limitecho, limitgin, limitgrpc: a shop whose visitors are limited,
//     on each framework.
//   - besidegoredis: one service with go-redis and Redstart on the same keys,
//     in the middle of its move.
//   - sqlcachegorm, sqlcachesqlx: a music store whose queries are cached, under
//     GORM and under sqlx.
package examples
