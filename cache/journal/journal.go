package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/commit"
	"github.com/redstart-go/redstart/internal/ids"
	"github.com/redstart-go/redstart/key"
)

// Journal caches values and brings them to a database behind the writer's back.
// It is shared by all goroutines. See the package's documentation for its
// promises.
type Journal[K comparable, V any] struct {
	client     *redstart.Client
	cfg        Config[K, V]
	name       string // for errors
	members    string // the key of those who flush
	partitions []*partition
	text       func(K) (string, error)
	key        func(K) (string, error) // of an entry
	cache      *cache.Cache[K, V]
	stats      counters
	bounds     [2][]string // what scripts are told of the bounds: usually, and of a write beyond them

	step func(point string) error // a test's; see exec
}

// New makes a journal on the client. It asks every node for its eviction policy
// and, where Durability needs it, for its AOF, within the client's DialTimeout:
// a server that may evict the journal is refused (ErrEviction), and so is one
// whose AOF is off, or that has no WAITAOF (redstart.ErrUnsupported).
func New[K comparable, V any](client *redstart.Client, cfg Config[K, V]) (*Journal[K, V], error) {
	cfg, wrong := cfg.withDefaults()
	client = client.OnPrimary()
	j := &Journal[K, V]{client: client, cfg: cfg, name: cfg.Name}
	prefix := ""
	if ns := client.Config().Namespace; ns != "" {
		prefix = ns + ":"
	}
	j.members = prefix + "{" + cfg.Name + ":members}:%members"
	for n := range max(min(cfg.Partitions, maxPartitions), 1) {
		p := newPartition(prefix, cfg.Name, n)
		p.commit = &commit.Group{Client: client, Script: putText, Terms: cfg.Durability.terms(client), Mark: p.state}
		j.partitions = append(j.partitions, p)
	}
	j.text = func(K) (string, error) { return "", nil }
	if cfg.Cache.Args == nil {
		if j.text = ids.Text[K](); j.text == nil {
			wrong = errors.Join(wrong, fmt.Errorf("redstart/journal: config: Cache.Args: is missing; a %T does not say how it is written as text", *new(K)))
		}
	}
	of := cfg.Cache
	if of.Key != "" {
		of.Key = "{" + cfg.Name + ":<" + placeholder + ">}:" + of.Key
	}
	of.Args = j.args(cfg.Cache.Args)
	j.reads(&of)
	var err error
	if wrong == nil {
		if j.cache, err = cache.New(client, of); err == nil {
			template := key.MustParse(prefix + of.Key) // the cache has parsed it
			j.key = func(id K) (string, error) { return template.Key(of.Args(id)...) }
		}
	}
	if err = errors.Join(wrong, err); err != nil {
		return nil, err
	}
	j.bounds = j.limits()
	if err := j.admit(); err != nil {
		return nil, j.fail("new", "", err)
	}
	return j, nil
}

// placeholder is the name of the partition in the entries' template.
const placeholder = "journal-partition"

// Cache is the cache of the entries, for reads of other kinds (GetMany,
// GetEntry). Its Set and Invalidate concern what is cached alone: the next read
// of what is pending has what is pending.
func (j *Journal[K, V]) Cache() *cache.Cache[K, V] { return j.cache }

// Get gives the newest value: what is cached, else what is pending for the id,
// else what Load gives. cache.ErrNotFound says that there is none. It costs and
// promises what cache.Cache.Get does, a miss one script more. While the server is
// away only what the near tier keeps is served: nobody else knows what is pending.
func (j *Journal[K, V]) Get(ctx context.Context, id K) (V, error) { return j.cache.Get(ctx, id) }
