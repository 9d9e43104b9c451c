package redstart_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// A failure to open is one line that says what and what to do, without
// credentials.
func TestOpenErrors(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{Args: []string{"--requirepass", "right"}})
	web, err := net.Listen("tcp", "127.0.0.1:0") // answers like something else
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	go func() {
		for {
			c, err := web.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = c.Close()
		}
	}()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	for name, test := range map[string]struct{ url, want string }{
		"unreachable":  {"redis://u:hunter2@127.0.0.1:1", "connection refused"},
		"no socket":    {"unix:///nowhere/redis.sock", "no such socket"},
		"no such host": {"redis://u:hunter2@host.invalid", "host"},
		"wrong pass":   {"redis://:hunter2@" + s.Addr(), "WRONGPASS"},
		"no pass":      {"redis://" + s.Addr(), "password"},
		"not redis":    {"redis://u:hunter2@" + web.Addr().String(), "did not answer as Redis does"},
		"silent":       {"redis://u:hunter2@" + silent.Addr().String(), "no answer came within the dial deadline"},
		"no database":  {"redis://:right@" + s.Addr() + "/99", "DB index"},
	} {
		c, err := redstart.Open(t.Context(), test.url, redstart.Config{DialTimeout: 300 * time.Millisecond})
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, test.want) || strings.Contains(text, "hunter2") || strings.Contains(text, "\n") {
			t.Errorf("%s: %q, want %q, one line and no password", name, text, test.want)
		}
		if redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("%s: OutcomeOf = %v", name, redstart.OutcomeOf(err))
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := redstart.Open(ctx, "redis://"+silent.Addr().String(), redstart.Config{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open past its context's end = %v", err)
	}
}

func TestConfigReportsEveryField(t *testing.T) {
	_, err := redstart.Open(t.Context(), "ftp://h", redstart.Config{
		Namespace: "a:{b}", Database: -1, DialTimeout: -1, Timeout: time.Millisecond, Pipelines: 3, BlockingPool: -1, ClientName: "a b",
		Password: "hunter2", Credentials: func(context.Context) (string, string, error) { return "", "", nil },
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"url", "Namespace", "Database", "DialTimeout", "Timeout", "Pipelines", "BlockingPool", "ClientName", "Credentials"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not reported in:\n%v", field, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in %v", err)
	}
}

func TestOneDatabaseAClient(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	zero, two := open(t, s.URL(), redstart.Config{}), open(t, s.URL()+"/2", redstart.Config{})
	if err := two.Do(t.Context(), two.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := zero.Do(t.Context(), zero.B().Get().Key("k").Build()).Error(); !rueidis.IsRedisNil(err) {
		t.Errorf("database 0 sees the key of database 2: %v", err)
	}
	selects := map[string]func() error{
		"Do":    func() error { return zero.Do(t.Context(), zero.B().Select().Index(2).Build()).Error() },
		"lower": func() error { return zero.Do(t.Context(), zero.B().Arbitrary("select").Args("2").Build()).Error() },
		"DoMulti": func() error {
			return zero.DoMulti(t.Context(), zero.B().Ping().Build(), zero.B().Select().Index(2).Build())[0].Error()
		},
		"DoStream": func() error {
			s := zero.DoStream(t.Context(), zero.B().Select().Index(2).Build())
			return s.Error()
		},
		"Dedicated": func() error {
			return zero.Dedicated(func(d rueidis.DedicatedClient) error {
				return d.Do(t.Context(), d.B().Select().Index(2).Build()).Error()
			})
		},
		"Nodes": func() error {
			for _, n := range zero.Nodes() {
				return n.Do(t.Context(), n.B().Select().Index(2).Build()).Error()
			}
			return nil
		},
	}
	for name, try := range selects {
		if err := try(); !errors.Is(err, redstart.ErrRefused) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("SELECT by %s = %v", name, err)
		}
	}
	for range 50 { // whatever connection is taken, it is still on database 0
		if err := zero.Do(t.Context(), zero.B().Get().Key("k").Build()).Error(); !rueidis.IsRedisNil(err) {
			t.Fatalf("a connection left its database: %v", err)
		}
	}
}

func TestWaysIn(t *testing.T) {
	ping := func(t *testing.T, c *redstart.Client) {
		t.Helper()
		if pong, err := c.Do(t.Context(), c.B().Ping().Build()).ToString(); err != nil || pong != "PONG" {
			t.Errorf("PING = %q, %v", pong, err)
		}
	}
	t.Run("socket", func(t *testing.T) {
		s := redstarttest.Run(t, redstarttest.ServerConfig{Unix: true})
		ping(t, open(t, s.URL(), redstart.Config{}))
	})
	t.Run("credentials", func(t *testing.T) {
		s := redstarttest.Run(t, redstarttest.ServerConfig{})
		if _, err := s.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">one", "~*", "+@all"); err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int64
		c := open(t, s.URL(), redstart.Config{Credentials: func(context.Context) (string, string, error) {
			asked.Add(1)
			return "app", "one", nil
		}})
		ping(t, c)
		who, err := c.Do(t.Context(), c.B().AclWhoami().Build()).ToString()
		if err != nil || who != "app" || asked.Load() == 0 {
			t.Errorf("connected as %q, %v, asked %d times", who, err, asked.Load())
		}
	})
	t.Run("tls", func(t *testing.T) {
		dir := t.TempDir()
		pool := selfSigned(t, dir)
		port := freePort(t)
		redstarttest.Run(t, redstarttest.ServerConfig{Args: []string{
			"--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
			"--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem"), "--tls-ca-cert-file", filepath.Join(dir, "cert.pem"),
		}})
		url := "rediss://127.0.0.1:" + strconv.Itoa(port)
		ping(t, open(t, url, redstart.Config{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}))
		if c, err := redstart.Open(t.Context(), url, redstart.Config{}); err == nil {
			c.Close()
			t.Error("a certificate of nobody known was accepted")
		}
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// selfSigned writes cert.pem and key.pem for 127.0.0.1.
func selfSigned(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}
