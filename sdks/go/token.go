package guichet

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"aidanwoods.dev/go-paseto"
)

// clocksApart is how far the gateway's clock and ours may be apart.
const clocksApart = 5 * time.Second

// Principal is who asks.
type Principal struct {
	// Name is unique within its kind.
	Name string `json:"name"`
	// Kind is person, service_account or ci_job.
	Kind string `json:"kind"`
	// Teams are those that the registry puts it in.
	Teams []string `json:"teams"`
	// Agent is who works on behalf of this principal, when somebody does.
	Agent string `json:"agent,omitempty"`
}

type claims struct {
	Iss         string   `json:"iss"`
	Aud         string   `json:"aud"`
	Sub         string   `json:"sub"`
	Kind        string   `json:"kind"`
	Teams       []string `json:"teams"`
	Agent       string   `json:"agent"`
	Environment string   `json:"environment"`
	Action      string   `json:"action"`
	// Pointers: what is not there proves nothing.
	Nbf        *time.Time `json:"nbf"`
	Exp        *time.Time `json:"exp"`
	Run        *string    `json:"run"`
	Input      *string    `json:"input"`
	Journal    *string    `json:"journal"`
	ApprovedBy []string   `json:"approved_by"`
}

func (c *claims) principal() Principal {
	teams := c.Teams
	if teams == nil {
		teams = []string{}
	}
	return Principal{Name: c.Sub, Kind: c.Kind, Teams: teams, Agent: c.Agent}
}

func (c *claims) run() string {
	if c.Run == nil {
		return ""
	}
	return *c.Run
}

// verify gives the claims of a call's token, when the gateway signed it for this provider, this operation and this moment.
func (a *desk) verify(header http.Header, operation string) (*claims, error) {
	values := header.Values("Authorization")
	if len(values) != 1 {
		return nil, problem("not-signed-in", "the call carries no token of the gateway").Next("call the action through the gateway")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return nil, denied("the header Authorization is not of the form `Bearer TOKEN`")
	}
	kid, err := kidIn(token)
	if err != nil {
		return nil, err
	}
	key, found, err := a.keys.find(kid)
	if errors.Is(err, errCannotAsk) {
		// Another process may have them, and so may this one in a moment: surely nothing was done.
		return nil, problem("provider-busy", "%s", err).Next("try again when the provider can reach the gateway")
	}
	if !found {
		return nil, denied("the token was signed with key `%.80s`, which is not the gateway's", kid)
	}
	parser := paseto.NewParserWithoutExpiryCheck()
	trusted, err := parser.ParseV4Public(key, token, nil)
	if err != nil {
		return nil, denied("the token's signature does not hold")
	}
	var said claims
	if err := json.Unmarshal(trusted.ClaimsJSON(), &said); err != nil {
		return nil, denied("the token's claims cannot be read: %s", err)
	}
	return &said, a.applies(&said, operation)
}

func (a *desk) applies(said *claims, operation string) error {
	now := a.provider.clock()
	switch {
	case said.Aud != a.provider.name:
		return denied("the token is for provider `%s`; this is `%s`", said.Aud, a.provider.name)
	case a.keys.issuer != "" && said.Iss != a.keys.issuer:
		return denied("the token is issued by `%s`; this provider serves `%s`", said.Iss, a.keys.issuer)
	case said.Action != operation:
		return denied("the token is for operation `%s`, the call for `%s`", said.Action, operation)
	case said.Exp == nil || said.Nbf == nil || said.Sub == "" || said.Kind == "":
		return denied("the token's claims cannot be read: one of exp, nbf, sub and kind is missing")
	case now.Sub(*said.Exp) >= clocksApart:
		return denied("the token expired at %s", said.Exp.Format(time.RFC3339))
	case said.Nbf.Sub(now) > clocksApart:
		return denied("the token holds only from %s on; compare the clocks", said.Nbf.Format(time.RFC3339))
	}
	return nil
}

// kidIn is the id of the key that a token says it was signed with; nothing rests on it but which key is tried.
func kidIn(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 4 || parts[0] != "v4" || parts[1] != "public" {
		return "", denied("the token is no PASETO of version 4 with a footer: v4.public.…")
	}
	var footer struct {
		Kid string `json:"kid"`
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil || json.Unmarshal(text, &footer) != nil || footer.Kid == "" {
		return "", denied("the token's footer names no key (`kid`)")
	}
	return footer.Kid, nil
}
