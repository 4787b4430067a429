package guichet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Settings say where to listen and whom to believe.
type Settings struct {
	// Listen is the address to listen on; port 0 lets the system choose.
	Listen string
	// Keys are the gateway's.
	Keys *Keys
	// Registration is how it registers itself; nil when it stands in the gateway's configuration.
	Registration *Registration
}

// SettingsFromEnv reads the environment: GUICHET_LISTEN (default 127.0.0.1:7100); GUICHET_GATEWAY, a URL whose /v1/keys is
// asked, or GUICHET_PUBLIC_KEYS, a list of k4.public.… separated by commas, which wins; one of the two must be there;
// GUICHET_ISSUER (optional), the only issuer to believe: guichet/production; GUICHET_TOKEN or GUICHET_TOKEN_FILE, a service
// account's token, with which it registers itself at GUICHET_GATEWAY, to be called at GUICHET_URL (default http:// and the
// address to listen on), believed for GUICHET_LEASE_SECONDS (default 30). GUICHET_INSECURE=true sends the token to a gateway
// beyond this machine in the clear.
func SettingsFromEnv() (Settings, error) { return ReadSettings(os.Getenv) }

// ReadSettings reads the same from any other place.
func ReadSettings(variable func(name string) string) (Settings, error) {
	said := func(name string) string { return strings.TrimSpace(variable(name)) }
	settings := Settings{Listen: said("GUICHET_LISTEN")}
	if settings.Listen == "" {
		settings.Listen = "127.0.0.1:7100"
	}
	if host, port, err := net.SplitHostPort(settings.Listen); err != nil || host == "" || port == "" {
		return settings, fmt.Errorf("GUICHET_LISTEN is `%s`, which is no address: write for example 127.0.0.1:7100", settings.Listen)
	}
	var fixed []string
	for _, key := range strings.Split(said("GUICHET_PUBLIC_KEYS"), ",") {
		if strings.TrimSpace(key) != "" {
			fixed = append(fixed, key)
		}
	}
	var err error
	switch gateway := said("GUICHET_GATEWAY"); {
	case len(fixed) > 0:
		settings.Keys, err = FixedKeys(fixed...)
	case gateway != "":
		settings.Keys, err = KeysFromGateway(gateway)
	default:
		err = errors.New("the provider does not know its gateway: set GUICHET_GATEWAY to its URL, or GUICHET_PUBLIC_KEYS to its keys")
	}
	if err != nil {
		return settings, err
	}
	settings.Keys.IssuedBy(said("GUICHET_ISSUER"))
	settings.Registration, err = readRegistration(said, settings.Listen)
	return settings, err
}

func readRegistration(said func(name string) string, listen string) (*Registration, error) {
	given, file := said("GUICHET_TOKEN"), said("GUICHET_TOKEN_FILE")
	token := func() (string, error) { return given, nil }
	switch {
	case given == "" && file == "":
		return nil, nil
	case given == "":
		token = tokenOf(file)
	}
	gateway := said("GUICHET_GATEWAY")
	if gateway == "" {
		return nil, errors.New("there is a token to register with, and no gateway: set GUICHET_GATEWAY to its URL")
	}
	own := said("GUICHET_URL")
	if own == "" {
		host, port, _ := net.SplitHostPort(listen)
		if ip := net.ParseIP(host); port == "0" || (ip != nil && ip.IsUnspecified()) {
			return nil, fmt.Errorf("the gateway cannot be told to call %s: set GUICHET_URL to where it reaches this provider", listen)
		}
		own = "http://" + listen
	}
	registration, err := registrationWith(gateway, token, own, said("GUICHET_INSECURE") == "true")
	if err != nil {
		return nil, err
	}
	if lease := said("GUICHET_LEASE_SECONDS"); lease != "" {
		seconds, err := strconv.Atoi(lease)
		if err != nil {
			return nil, fmt.Errorf("GUICHET_LEASE_SECONDS is `%s`, which is no number of seconds: write for example 30", lease)
		}
		return registration, registration.LeaseSeconds(seconds)
	}
	return registration, nil
}
