// A program with a page of its own and a provider beside it, which the gateway's own tests start, kill and drain.
//
// It works in the folder it is started in, which all of its processes share; their places are
// crates/server/tests/process/greeters.rs.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"guichet.dev/guichet"
)

type greeting struct {
	Name string `json:"name" doc:"Whom."`
}

func hello(*guichet.Context, guichet.NoInput) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return os.Getpid(), nil
}

// greet notes each in a file that all processes share.
func greet(_ *guichet.Context, greeting greeting) (int, error) {
	time.Sleep(50 * time.Millisecond)
	greeted, err := os.OpenFile("greeted", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer greeted.Close()
	_, err = fmt.Fprintln(greeted, greeting.Name)
	return os.Getpid(), err
}

func serve() error {
	settings, err := guichet.SettingsFromEnv()
	if err != nil {
		return err
	}
	greeter, err := guichet.New("greeter").
		Action("hello", guichet.Do(hello)).Read().
		Action("greet", guichet.Do(greet)).Resource("greeter/guests").
		Mount(settings)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "at home") })
	mux.Handle(greeter.At("/guichet"))
	return greeter.ListenAndServe(context.Background(), mux)
}

func main() {
	if err := serve(); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}
