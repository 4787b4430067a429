package guichet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
)

// Mounted is a provider beside what a program serves already, on the program's own port:
//
//	guichet, err := provider.Mount(settings)
//	mux := http.NewServeMux()
//	mux.HandleFunc("/", myOwnPage)
//	mux.Handle(guichet.At("/guichet"))
//	err = guichet.ListenAndServe(ctx, mux)
//
// GUICHET_URL then ends in /guichet: it tells the gateway where the actions are.
type Mounted struct {
	*App
	settings Settings
}

// Mount makes it ready, and lets it register with the gateway when the settings have a token. Its error is what is declared
// wrongly.
func (p *Provider) Mount(settings Settings) (*Mounted, error) {
	app, err := p.App(settings.Keys)
	if err != nil {
		return nil, err
	}
	return &Mounted{app, settings}, nil
}

// Mount: see [Provider.Mount].
func (a *Action) Mount(settings Settings) (*Mounted, error) { return a.provider.Mount(settings) }

// At is the pattern and the handler for a mux of one's own: mux.Handle(guichet.At("/guichet")).
func (m *Mounted) At(prefix string) (string, http.Handler) {
	prefix = "/" + strings.Trim(prefix, "/")
	if prefix == "/" {
		return prefix, m.App
	}
	return prefix + "/", http.StripPrefix(prefix, m.App)
}

// Listen is the address of the settings.
func (m *Mounted) Listen() string { return m.settings.Listen }

// Stopping registers as soon as it is called, waits until the context ends, SIGTERM or Ctrl-C, takes leave of the gateway, and
// returns when the server may stop taking connections: for a program that serves by itself. Call it when the program listens,
// and [App.Drain] when the server has stopped. From its return on a second signal ends the process at once, unless the program
// has a [signal.NotifyContext] of its own until then.
func (m *Mounted) Stopping(ctx context.Context) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if m.settings.Registration == nil {
		<-ctx.Done()
		return
	}
	m.settings.Registration.keep(ctx, m.App)
}

// ListenAndServe serves this handler, which has the provider somewhere in it, at the address of the settings: until the context
// ends, SIGTERM or Ctrl-C. Then it takes leave of the gateway, accepts no more, and finishes what is under way (at most 30 s).
func (m *Mounted) ListenAndServe(ctx context.Context, handler http.Handler) error {
	// To its end: a second signal would cut off what is under way.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// Of the one it begins with, also when another is offered meanwhile.
	provider := m.desk().provider
	name := provider.name
	for _, hook := range provider.atStart {
		if err := hook(ctx); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", m.settings.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s; set GUICHET_LISTEN to a free address: %w", m.settings.Listen, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headTime}
	ctx, broke := context.WithCancel(ctx)
	defer broke()
	served := make(chan error, 1)
	go func() {
		defer broke()
		served <- server.Serve(listener)
	}()
	slog.Info("serving", "provider", name, "address", listener.Addr().String())
	m.Stopping(ctx)
	var errs []error
	select {
	case err := <-served:
		errs = append(errs, err)
	default:
	}
	slog.Info("finishing what is under way", "provider", name)
	end, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	m.Stop()
	errs = append(errs, server.Shutdown(end), m.Drain(end))
	for _, hook := range provider.atStop {
		errs = append(errs, hook(end))
	}
	return errors.Join(errs...)
}
