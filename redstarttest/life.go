package redstarttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redstart-go/redstart/redstarttest/internal/process"
)

var errPortTaken = errors.New("another program has the port")

// start starts a process and waits until it answers PING. The lock is held, or
// the server not yet known to anyone.
func (s *Server) start(ctx context.Context) error {
	info, err := s.logged.Stat()
	if err != nil {
		return fmt.Errorf("redstart/redstarttest: %w", err)
	}
	from := info.Size()
	if s.cfg.Unix { // a killed server leaves its socket behind
		if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("redstart/redstarttest: %w", err)
		}
	}
	p, err := process.Start(process.Program{Path: s.path, Args: s.args(), Dir: s.dir, Log: s.logged})
	if err != nil {
		return fmt.Errorf("redstart/redstarttest: start %s: %w", s.path, err)
	}
	s.proc, s.frozen = p, false
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		answer, asked := s.ready(ctx, from)
		if asked {
			return nil
		}
		select {
		case <-p.Done():
			log := s.logFrom(from)
			if strings.Contains(log, "Address already in use") || strings.Contains(log, "Failed listening on port") {
				return fmt.Errorf("redstart/redstarttest: %s does not start at %s: %w\n%s", s.path, s.Addr(), errPortTaken, log)
			}
			return fmt.Errorf("redstart/redstarttest: %s does not start: %w; its log:\n%s", s.path, p.Err(), log)
		case <-ctx.Done():
			_ = p.Kill()
			return fmt.Errorf("redstart/redstarttest: %s gives no PONG at %s in time (%w; last answer: %v); its log:\n%s",
				s.path, s.Addr(), ctx.Err(), answer, s.logFrom(from))
		case <-time.After(pause):
		}
	}
}

// ready asks for a PONG, and makes sure that it is the started process's: by its
// id in INFO, or by its own log, for a server whose ACL refuses INFO. A server that
// loads its data, or asks for a password that is not known here, is told apart by
// its answer; the latter is as ready as it will be.
func (s *Server) ready(ctx context.Context, from int64) (answer any, ok bool) {
	one, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	reply, err := oneshot(one, s.network, s.address(), s.password, []string{"PING"})
	if err != nil && !strings.HasPrefix(err.Error(), "NOAUTH") && !strings.HasPrefix(err.Error(), "NOPERM") {
		return err, false
	}
	if err == nil && reply != "PONG" {
		return reply, false
	}
	info, err := oneshot(one, s.network, s.address(), s.password, []string{"INFO", "server"})
	if text, isText := info.(string); err == nil && isText {
		return "PONG of another process", strings.Contains(text, "\nprocess_id:"+strconv.Itoa(s.proc.Pid())+"\r")
	}
	return "PONG, but neither INFO nor the log tells whose", strings.Contains(s.logFrom(from), "Ready to accept connections")
}

func (s *Server) logFrom(from int64) string {
	log := s.Log()
	return log[min(from, int64(len(log))):]
}

// Kill ends the server with SIGKILL, as a crash would, and waits until the process
// is gone. A server that is down already is no error.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errServerClosed
	}
	return s.proc.Kill()
}

// Freeze stops the process with SIGSTOP: the kernel still accepts connections and
// takes bytes for it, but nothing is answered until Continue.
func (s *Server) Freeze() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mustRun("freeze"); err != nil {
		return err
	}
	if err := s.proc.Stop(); err != nil {
		return err
	}
	s.frozen = true
	return nil
}

// Continue lets a frozen server go on (SIGCONT). One that was not frozen just runs.
func (s *Server) Continue() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mustRun("continue"); err != nil {
		return err
	}
	if err := s.proc.Resume(); err != nil {
		return err
	}
	s.frozen = false
	return nil
}

func (s *Server) mustRun(verb string) error {
	if s.closed {
		return errServerClosed
	}
	if !s.proc.Running() {
		return fmt.Errorf("redstart/redstarttest: %s the server at %s: it is not running; call Restart first", verb, s.Addr())
	}
	return nil
}

// Restart starts the server again on the same address and folder, and returns when
// it has answered PING, that is after it has loaded its append-only file. A server
// that still runs is ended first, gently unless it is frozen. When another program
// has taken the port meanwhile it is tried again until ctx's deadline (15 s without
// one). After an error the server is down, and Restart may be called again.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errServerClosed
	}
	ctx, cancel := startDeadline(ctx)
	defer cancel()
	if err := s.down(); err != nil {
		return err
	}
	for {
		err := s.start(ctx)
		if err == nil || !errors.Is(err, errPortTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// down ends the process, whatever state it is in.
func (s *Server) down() error {
	if s.frozen { // a stopped process does not see SIGTERM
		return s.proc.Kill()
	}
	return s.proc.End(endWithin)
}

// Close ends the server with SIGTERM, after 5 s (or at once when it is frozen) with
// SIGKILL, waits until the process is gone and removes the temporary folder. It may
// be called again, and then returns nil.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.down(); err != nil {
		return err
	}
	return s.discard()
}

// discard removes what the server had on disk.
func (s *Server) discard() error {
	var errs []error
	if s.logged != nil {
		errs = append(errs, s.logged.Close())
	}
	if s.socket != "" {
		if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, dir := range s.remove {
		errs = append(errs, os.RemoveAll(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("redstart/redstarttest: clean up: %w", err)
	}
	return nil
}
