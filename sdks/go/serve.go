package guichet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// finishWithin is how long the end waits for what is under way.
	finishWithin = 30 * time.Second
	// headTime is how long a client may take to send the head of a request.
	headTime = 10 * time.Second
)

// Serve serves until the context ends, SIGTERM or Ctrl-C, then accepts no more, and finishes what is under way (at most 30 s).
func (p *Provider) Serve(ctx context.Context, settings Settings) error {
	app, err := p.App(settings.Keys)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, hook := range p.atStart {
		if err := hook(ctx); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", settings.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s; set GUICHET_LISTEN to a free address: %w", settings.Listen, err)
	}
	server := &http.Server{Handler: app, ReadHeaderTimeout: headTime}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	slog.Info("serving", "provider", p.name, "address", listener.Addr().String())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	slog.Info("finishing what is under way", "provider", p.name)
	end, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	app.Stop()
	errs := []error{server.Shutdown(end), app.Drain(end)}
	for _, hook := range p.atStop {
		errs = append(errs, hook(end))
	}
	return errors.Join(errs...)
}

// MustServe serves as the environment says ([SettingsFromEnv]), and ends the process with 1 when it cannot.
func (p *Provider) MustServe() {
	settings, err := SettingsFromEnv()
	if err == nil {
		err = p.Serve(context.Background(), settings)
	}
	if err != nil {
		slog.Error(err.Error(), "provider", p.name)
		os.Exit(1)
	}
}
