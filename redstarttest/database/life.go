package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// start starts a process and waits until it takes connections. The lock is held, or
// the server not yet known to anyone.
func (s *Server) start(ctx context.Context) error {
	info, err := s.logged.Stat()
	if err != nil {
		return fmt.Errorf("redstart/redstarttest/database: %w", err)
	}
	from := info.Size()
	path := s.engine.program()
	p, err := s.launch(path, append(s.engine.args(s), s.cfg.Args...))
	if err != nil {
		return err
	}
	s.proc, s.frozen = p, false
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if s.ready(ctx) {
			return nil
		}
		select {
		case <-p.Done():
			log := s.logFrom(from)
			if strings.Contains(log, s.engine.portTaken()) {
				return fmt.Errorf("redstart/redstarttest/database: %s does not start at %s: %w\n%s", path, s.address(), errPortTaken, log)
			}
			return fmt.Errorf("redstart/redstarttest/database: %s does not start: %w; its log:\n%s", path, p.Err(), log)
		case <-ctx.Done():
			_ = p.KillAll()
			return fmt.Errorf("redstart/redstarttest/database: %s is not ready at %s in time (%w); its log:\n%s",
				path, s.address(), ctx.Err(), s.logFrom(from))
		case <-time.After(pause):
		}
	}
}

func (s *Server) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.engine.ready(ctx, s)
}

func (s *Server) logFrom(from int64) string {
	log := s.Log()
	return log[min(from, int64(len(log))):]
}

// Kill ends the server and all its processes with SIGKILL, as a crash of the machine
// would, and waits until they are gone. A server that is down already is no error.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errServerClosed
	}
	return s.proc.KillAll()
}

// Freeze stops the server and all its processes with SIGSTOP: the kernel still
// accepts connections and takes bytes for it, but nothing is answered until Continue.
func (s *Server) Freeze() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mustRun("freeze"); err != nil {
		return err
	}
	if err := s.proc.StopAll(); err != nil {
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
	if err := s.proc.ResumeAll(); err != nil {
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
		return fmt.Errorf("redstart/redstarttest/database: %s the server at %s: it is not running; call Restart first", verb, s.address())
	}
	return nil
}

// Restart starts the server again on the same address and data, and returns when it
// takes connections, that is after it has recovered what a kill left undone. A server
// that still runs is ended first, gently unless it is frozen: its clients are cut off,
// not awaited. When another program has taken the port meanwhile it is tried again
// until ctx's deadline (30 s without one). After an error the server is down, and
// Restart may be called again.
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
	if s.frozen { // a stopped process sees no other signal
		return s.proc.KillAll()
	}
	return s.proc.EndWith(s.engine.gentle(), endWithin)
}

// Close ends the server, gently unless it is frozen and after 10 s with SIGKILL,
// waits until it is gone and removes its folder. It may be called again, and then
// returns nil.
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
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("redstart/redstarttest/database: clean up: %w", err)
	}
	return nil
}
