package guichet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Settings say where to listen and whom to believe.
type Settings struct {
	// Listen is the address to listen on; port 0 lets the system choose.
	Listen string
	// Keys are the gateway's.
	Keys *Keys
}

// SettingsFromEnv reads the environment: GUICHET_LISTEN (default 127.0.0.1:7100); GUICHET_GATEWAY, a URL whose /v1/keys is
// asked, or GUICHET_PUBLIC_KEYS, a list of k4.public.… separated by commas, which wins; one of the two must be there;
// GUICHET_ISSUER (optional), the only issuer to believe: guichet/production.
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
	if err == nil {
		settings.Keys.IssuedBy(said("GUICHET_ISSUER"))
	}
	return settings, err
}
