// Package besidegoredis is a product catalog in the middle of its move from
// go-redis to Redstart: both clients work on the same keys, and each piece of
// code moves when its time has come.
//
// # The entries
//
// Both caches use one key for a product, shop:product:42: a key.Template with a
// plain id gives the key that Sprintf gave. Of what stands there,
//
//   - Redstart reads both forms: its own, and through cache.Config.Adopt that of
//     the cache before it ([PlainJSON], [GoRedisCache]). What is adopted stays as
//     it is and keeps its TTL.
//   - go-redis reads only the old one. Redstart's entries have a header of 14
//     bytes, with every codec, cache.JSON too. To an old reader of a struct
//     they are an error, so code that treats errors as misses loads and
//     overwrites them, and Once of go-redis/cache deletes them first. An old
//     reader of text or bytes gets header and all. One of a number can get a
//     wrong number from go-redis/cache.
//
// Hence the order of the move, which [Step] carries out:
//
//  1. [ReadBoth] everywhere: Redstart reads, and only the old form is written.
//     Old readers notice nothing, and any process can go back.
//  2. [FillNew], once no old reader is left: Redstart loads and writes. Processes
//     of both steps read each other's entries, so this can be rolled out and back
//     as well.
//
// # Writers and invalidations
//
// They need not move, or move last. A DEL by either client invalidates for both
// ([Catalog.Rename], [Catalog.Reprice]), and it ends a load that Redstart has
// under way: a stale value is not stored. For that promise (C2 in
// GUARANTEES.md) nobody may fill with the recipe any more; in ReadBoth its race
// is still there, since the recipe is. Turn off the LocalCache of go-redis/cache
// first: no DEL reaches it.
//
// # Everything else
//
// Code on go-redis's API keeps its text and runs on Redstart's client through
// rueidiscompat ([Views]). What changes is the names of the types and redis.Nil: the
// clients have different errors for a missing key ([Missing]). In return
// redstart.OutcomeOf says of a failed call whether it took effect. It cannot for
// go-redis's errors (always Unknown), nor for the one error that rueidiscompat
// makes itself: TxFailedErr, which is Unknown as well though nothing was applied.
package besidegoredis
