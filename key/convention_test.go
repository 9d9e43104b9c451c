package key

import (
	"strings"
	"testing"
)

func TestCheckTakesGoodKeys(t *testing.T) {
	for _, s := range []string{
		// the convention's own examples
		"user:profile:123", "session:usr_abc:data", "product:prod_456:embedding", "sensor:temp_001:raw",
		"rate_limit:user:usr_123:1702300800",
		"myapp:user:123:profile", "cache:query:abc123", "session:usr_456:2024-12-11",
		// the same as templates
		"user:profile:<id>", "session:<id>:data", "session:usr_<id>:data", "sensor:temp_<n>:raw",
		"rate_limit:user:<id>:<window>", "session:<id>:<date>",
		// what else is common
		"user:<id>", "shop:user:<id>:profile", "shop:{user:<id>}:cart", "{user:<id>}:cart", "idx:city:Paris",
		"logs:2024-12-11", "data:chunk:5", "s3:<bucket>", "oauth2:token:abc", "sha256:abcdef", "my-app:user:1",
		"app-2:user:<id>", "app:config", "doc:v<n>:<id>", "img:<id>.json", "post:10-tips-for-redis",
		"page:/a/b-c", "stadt:Zürich", "order:<user>:<order>:items:v2",
	} {
		if found := Check(s); len(found) > 0 {
			t.Errorf("Check(%q) = %q, want nothing", s, found)
		}
	}
}

func TestCheckFindsBadKeys(t *testing.T) {
	for _, c := range []struct{ key, rule, text string }{
		// the convention's own examples
		{"user123", "structure", "no structure"},
		{"user-123-profile", "separator", "inconsistent separator: '-'"},
		{"123", "entity", "not self-documenting"},
		{"userprofile123data", "separation", "no separation"},
		// the same as templates
		{"user<id>", "structure", "no structure"},
		{"user-<id>-profile", "separator", "'-'"},
		{"<id>", "entity", "not self-documenting"},
		{"userprofile<id>data", "separation", "no separation"},

		{"config", "structure", "one part"},
		{"lock{<id>}", "structure", "one part"},
		{"user_<id>", "separator", "'_'"},
		{"user_123", "separator", "'_'"},
		{"user/<id>", "separator", "'/'"},
		{"a.b.c", "separator", "'.'"},
		{"user-<id>:profile", "separator", "'-'"},
		{"user-123:profile", "separator", "'-'"},
		{"user:<id>-profile", "separator", "'-'"},
		{"{user:<id>_cart}", "separator", "'_'"},
		{"user<id>:profile", "separation", "no separation"},
		{"<tenant>:user:<id>", "entity", "in front"},
		{"{<tenant>}:user", "entity", "in front"},
		{"2024-12-11:logs", "entity", "in front"},
		{"v<n>:user:<id>", "entity", "in front"},
		{"user::<id>", "empty", "doubled"},
		{":user:<id>", "empty", "beginning"},
		{"user:<id>:", "empty", "end"},
		{"user:<id", "template", "at offset 5: this placeholder is not closed"},
		{"user:1 2", "template", "white space"},
		{"", "template", "empty"},
	} {
		found := Check(c.key)
		if len(found) != 1 || found[0].Rule != c.rule || !strings.Contains(found[0].Text, c.text) {
			t.Errorf("Check(%q) = %q, want the rule %s alone, saying %q", c.key, found, c.rule, c.text)
		}
	}
	if found := Check("user-<id>::profile"); len(found) != 2 || found[0].Rule != "separator" || found[1].Rule != "empty" {
		t.Errorf("two faults gave %q", found)
	}
}

// A Problem may be logged, a key may hold personal data.
func TestCheckTellsNoIDs(t *testing.T) {
	for _, k := range []string{
		"secret", "secret-123-x", "123secret:", "user:<secret@x>", "a:<secret>:<secret>", "a:<secret><b>", "secret:{}",
		"secret:}", "secret 1", "secret:<a", "{secret}{secret}", "1secret1", strings.Repeat("secret", 200),
	} {
		found := Check(k)
		if len(found) == 0 {
			t.Errorf("Check(%q) found nothing", k)
		}
		for _, p := range found {
			if strings.Contains(p.Text, "secret") {
				t.Errorf("Check(%q) tells: %s", k, p.Text)
			}
		}
	}
}
