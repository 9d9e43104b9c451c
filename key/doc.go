// Package key builds, parses and checks the names of Redis keys from typed
// templates such as shop:user:<id>:profile.
//
// # What
//
// A [Template] is compiled once with [Parse] or [MustParse]. [Template.Key]
// fills its placeholders, [Template.Match] reads them back, [Template.Pattern]
// finds all its keys with SCAN, [Template.Slot] says where a key lives in a
// cluster, and [Check] says whether a template, or a key that somebody else
// named, follows the convention
//
//	[namespace:]entity:id[:attribute][:timestamp or version]
//
// In a template, <name> is a placeholder (letters, digits, '_' and '-'), and
// braces mean what they mean to Redis: shop:{user:<id>}:cart has the hash tag
// user:<id>, so that all keys of one user share a slot. ':' and the two braces
// divide a template into segments, each with at most one placeholder; literal
// text may stand beside it (v<n>, <id>.json). '<' and '>' cannot be literal,
// nor can white space and control bytes.
//
// An id of plain bytes gives exactly the key that one would have written by
// hand, so keys that exist can be adopted. Plain is every byte except ':',
// '{', '}', '%', white space and control bytes (0x00 to 0x20, and 0x7F); '@',
// '.', '-', '_', '/', '<', '*' and the bytes of any UTF-8 text beyond ASCII
// are plain. A byte that is not plain is written as %XX with upper-case
// digits, and the empty id as %_.
//
// # When not
//
// Not to tell the keys of one template from those of another: a:<x> and <y>:b
// are each injective, yet both can give a:b. Begin templates with different
// words. Not for secrets or long values: an id stands readable in the key,
// and a key is at most [MaxLen] bytes; hash such values first. Not for
// binary keys whose bytes are fixed by another program and are not plain:
// Match refuses them.
//
// # Guarantees
//
//   - Injective: different ids give different keys. Key and Match are exact
//     inverses; Match accepts only the one spelling that Key writes.
//   - An id never adds a segment, a brace or a hash tag. In a template with a
//     hash tag only the ids inside the tag decide the slot, and an id is never
//     written as nothing, so the tag is never empty.
//   - No error of this package holds an id or a key; errors name the template,
//     which is source text.
//   - A Template never changes and may be used by any number of goroutines.
//
// # Keys and cost
//
// Nothing here talks to a server. Key allocates once (the key), AppendKey and
// Slot not at all (AppendKey when dst has room); each costs some tens of
// nanoseconds for the usual key, about as much as concatenation by hand. Match
// allocates the slice of ids, and one string for each id that had to be
// unescaped; plain ids are substrings of the key and keep it in memory.
//
// # Example
//
// See the examples of [Template], [Template.Match], [Template.Pattern],
// [Template.Slot] and [Check].
package key
