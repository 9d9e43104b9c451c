// Package topology knows where the servers of a deployment are. A Watcher
// follows the primary of a Sentinel deployment, and cuts what leads to the old
// one the moment a replica becomes a primary.
package topology
