//go:build !unix

package localpg

import (
	"context"
	"errors"
	"runtime"
)

var errSystem = errors.New("start a throwaway postgres: not on " + runtime.GOOS + ": set " + overrideEnv + " to a server where databases may be created")

type local struct{}

// Start returns an error on this system.
func Start(context.Context, Options) (*Server, error) { return nil, errSystem }

// Stop does nothing, since nothing was started.
func (s *Server) Stop() error { return nil }

// Kill returns ErrForeign: no server of this system is ours.
func (s *Server) Kill(context.Context) error { return ErrForeign }

// Resume returns ErrForeign, as Kill does.
func (s *Server) Resume(context.Context) error { return ErrForeign }

// Restart returns ErrForeign, as Kill does.
func (s *Server) Restart(context.Context) error { return ErrForeign }
