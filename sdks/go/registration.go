package guichet

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// gatewayTime is how long a call to the gateway may take.
	gatewayTime = 5 * time.Second
	// firstPause and longestPause bound the pauses after calls that failed: each is twice the one before.
	firstPause, longestPause = 500 * time.Millisecond, 10 * time.Second
	// linger is how long an instance still answers after its farewell: another gateway hears of it a moment later.
	linger = 2 * time.Second
	// shortestLease and longestLease are seconds.
	shortestLease, longestLease = 10, 300
)

// Registration is how a provider registers itself with its gateway: it says that it is there, again before each lease ends, and
// takes leave at its end.
//
// A gateway that is away or says no stops nothing: calls that come are answered, and it is told again soon. So a gateway that
// was restarted has all its providers back within one such round.
type Registration struct {
	gateway      *url.URL
	token        func() (string, error)
	own          string
	instance     string
	leaseSeconds int
	client       *http.Client
	// What was told on the log the last time.
	told string
}

// NewRegistration registers with the gateway at this URL, as the service account whose token this is, to be called at own, which
// is this provider's own address with the prefix under which it is mounted. Plain http:// beyond this machine is taken only when
// insecure. Its error is an address that is none, or to which no token is sent.
func NewRegistration(gateway, token, own string, insecure bool) (*Registration, error) {
	return registrationWith(gateway, func() (string, error) { return token, nil }, own, insecure)
}

// tokenOf reads a file anew each time, so that the token in it can be exchanged.
func tokenOf(file string) func() (string, error) {
	return func() (string, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("the token cannot be read: %w", err)
		}
		return string(text), nil
	}
}

func registrationWith(gateway string, token func() (string, error), own string, insecure bool) (*Registration, error) {
	base, err := url.Parse(gateway)
	if err != nil || base.Hostname() == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("%s is no URL of a gateway: write http://host:port or https://host", shown(gateway))
	}
	if base.Scheme == "http" && !insecure && !isLoopback(base.Hostname()) {
		return nil, fmt.Errorf("the token is not sent to %s in the clear: use https://, or set GUICHET_INSECURE=true if the network itself is trusted",
			base.Redacted())
	}
	address, err := url.Parse(own)
	if err != nil || address.Hostname() == "" || address.User != nil || address.RawQuery != "" || address.Fragment != "" ||
		(address.Scheme != "http" && address.Scheme != "https") {
		return nil, fmt.Errorf("this provider's own address, %s, is not of the form http://host:port or https://host:port/prefix; "+
			"set GUICHET_URL to where the gateway reaches it", shown(own))
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	// What stays on this machine goes through no proxy: the environment names none for it.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: gatewayTime, ForceAttemptHTTP2: true}
	return &Registration{
		gateway: base, token: token, own: strings.TrimRight(own, "/"), instance: hex.EncodeToString(id), leaseSeconds: 30,
		client: &http.Client{
			Timeout: gatewayTime, Transport: transport,
			// The token is for the gateway, and not for whoever it points to.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// LeaseSeconds says for how long the gateway believes that this instance is there, 10 to 300 (30 when never called). It is told
// again after a third of it. Its error is any other number.
func (r *Registration) LeaseSeconds(seconds int) error {
	if seconds < shortestLease || seconds > longestLease {
		return fmt.Errorf("a lease is %d to %d seconds, not %d: set GUICHET_LEASE_SECONDS", shortestLease, longestLease, seconds)
	}
	r.leaseSeconds = seconds
	return nil
}

// Instance is this process, as the gateway calls it: another one after each start.
func (r *Registration) Instance() string { return r.instance }

// keep registers, and says so again until the context ends; then it takes leave, and returns when no gateway should send
// anything here any more. Calls are to be answered until then, and what is under way to be finished after it.
func (r *Registration) keep(ctx context.Context, app *App) {
	for failures := 0; ctx.Err() == nil; {
		// It is said to its end also when the context ends meanwhile: it must not arrive after the farewell.
		taken, refused, err := r.say(app)
		if err == nil {
			failures = 0
		} else {
			failures++
		}
		r.tell(app.desk().provider.name, taken, refused, err)
		again := time.NewTimer(spreadOut(r.pause(failures)))
		select {
		case <-ctx.Done():
		case <-again.C:
		}
		again.Stop()
	}
	r.leave(app.desk().provider.name)
}

// pause is how long until it is said again, after so many failures in a row.
func (r *Registration) pause(failures int) time.Duration {
	third := time.Duration(r.leaseSeconds) * time.Second / 3
	if failures == 0 {
		return third
	}
	return min(firstPause<<min(failures, 10), longestPause, third)
}

// spreadOut is between four fifths and all of it, so that many who began together do not stay together.
func spreadOut(pause time.Duration) time.Duration {
	chance, err := rand.Int(rand.Reader, big.NewInt(int64(pause/5)+1))
	if err != nil {
		return pause
	}
	return pause - time.Duration(chance.Int64())
}

// lease is what the gateway answers.
type lease struct {
	LeaseUntil  time.Time `json:"lease_until"`
	Environment string    `json:"environment"`
}

func (r *Registration) say(app *App) (*lease, bool, error) {
	body, err := json.Marshal(map[string]any{
		"instance": r.instance, "url": r.own, "document": app.desk().etag, "lease_seconds": r.leaseSeconds,
	})
	if err != nil {
		return nil, false, err
	}
	answer, refused, err := r.call(http.MethodPut, r.gateway.JoinPath("v1", "providers", app.desk().provider.name), body)
	if err != nil {
		return nil, refused, err
	}
	var taken lease
	if err := json.Unmarshal(answer, &taken); err != nil {
		return nil, false, fmt.Errorf("its answer cannot be read: %w", err)
	}
	return &taken, false, nil
}

// leave tells the gateway that this instance goes, and lingers.
func (r *Registration) leave(provider string) {
	where := r.gateway.JoinPath("v1", "providers", provider, "instances", r.instance)
	if _, _, err := r.call(http.MethodDelete, where, nil); err != nil {
		slog.Warn("the gateway was not told that this instance leaves; its lease ends by itself", "provider", provider, "why", err)
		return
	}
	slog.Info("the gateway sends nothing more here", "provider", provider)
	time.Sleep(linger)
}

// call gives the gateway's answer. Its error is what it says, which is a refusal, or that it said nothing.
func (r *Registration) call(method string, where *url.URL, body []byte) (answer []byte, refused bool, err error) {
	token, err := r.token()
	if err != nil {
		return nil, false, err
	}
	request, err := http.NewRequest(method, where.String(), bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		// What cannot be a header would be shown by the library's error.
		return nil, false, errors.New("the token is empty, or has characters that no token has")
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, false, innermost(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch status := response.StatusCode; {
	case err != nil:
		return nil, false, innermost(err)
	case status >= 200 && status < 300:
		return answer, false, nil
	default:
		return nil, status >= 400 && status < 500, refusal(response, answer)
	}
}

// refusal is what the gateway says, in its words.
func refusal(response *http.Response, answer []byte) error {
	var said Problem
	switch err := json.Unmarshal(answer, &said); {
	case err != nil || said.Detail == "":
		return fmt.Errorf("it answers %s", response.Status)
	case said.Next != "":
		return fmt.Errorf("%s (%s): %s", said.Detail, said.Code, said.Next)
	default:
		return fmt.Errorf("%s (%s)", said.Detail, said.Code)
	}
}

// innermost is the reason: what is around it says only that a call failed.
func innermost(err error) error {
	if timeout, is := err.(interface{ Timeout() bool }); is && timeout.Timeout() {
		return fmt.Errorf("it did not answer within %s", gatewayTime)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

// tell puts each outcome on the log once, not at each heartbeat.
func (r *Registration) tell(provider string, taken *lease, refused bool, err error) {
	outcome := "registered"
	if err != nil {
		outcome = err.Error()
	}
	if outcome == r.told {
		return
	}
	r.told = outcome
	log := slog.With("provider", provider, "gateway", r.gateway.Redacted())
	switch {
	case err == nil:
		log.Info("registered", "environment", taken.Environment, "instance", r.instance, "url", r.own, "lease_until", taken.LeaseUntil)
	case refused:
		log.Error("the gateway does not take this provider; it is asked again", "why", outcome)
	default:
		log.Warn("the gateway cannot be told that this provider is there; again soon", "why", outcome)
	}
}

// shown is what is no address, as it may be told of it: not what stands where passwords do.
func shown(address string) string {
	if strings.Contains(address, "@") {
		return "an address with a user name or a password"
	}
	return "`" + address + "`"
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
