package guichet

import (
	"context"
	"log/slog"
	"os"
	"time"
)

const (
	// finishWithin is how long the end waits for what is under way.
	finishWithin = 30 * time.Second
	// headTime is how long a client may take to send the head of a request.
	headTime = 10 * time.Second
)

// Serve serves, and registers with the gateway when the settings have a token, until the context ends, SIGTERM or Ctrl-C; then
// takes leave, accepts no more, and finishes what is under way (at most 30 s).
func (p *Provider) Serve(ctx context.Context, settings Settings) error {
	mounted, err := p.Mount(settings)
	if err != nil {
		return err
	}
	return mounted.ListenAndServe(ctx, mounted)
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
