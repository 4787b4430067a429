package guichet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"aidanwoods.dev/go-paseto"
	"golang.org/x/crypto/blake2b"
)

const (
	// askAgainAfter: an unknown key id makes the provider ask the gateway anew, at most this often.
	askAgainAfter = 10 * time.Second
	// keysGrowOld: known keys are asked for anew after this time, so that a withdrawn key does not hold for ever.
	keysGrowOld = 5 * time.Minute
)

type ring map[string]paseto.V4AsymmetricPublicKey

// Keys says where a provider finds the keys of the gateway it serves: [FixedKeys] or [KeysFromGateway].
type Keys struct {
	url    string
	issuer string
	client *http.Client

	mutex sync.Mutex
	ring  ring
	had   time.Time

	// Held while the gateway is asked: many callers, one question.
	asking  sync.Mutex
	asked   time.Time
	problem error
}

// FixedKeys believes these keys and no others, each as k4.public.… (PASERK).
func FixedKeys(publicKeys ...string) (*Keys, error) {
	ring, err := ringOf(publicKeys)
	return &Keys{ring: ring}, err
}

// KeysFromGateway believes the keys that the gateway at this URL publishes at /v1/keys. They are fetched at the first call,
// again when a token names an unknown key (at most every 10 s), and every 5 minutes.
func KeysFromGateway(gateway string) (*Keys, error) {
	base, err := url.Parse(gateway)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("%s is no URL of a gateway: write http://host:port or https://host", shown(gateway))
	}
	client := &http.Client{
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Keys{url: strings.TrimRight(gateway, "/") + "/v1/keys", client: client, ring: ring{}}, nil
}

// IssuedBy believes only tokens of this issuer: guichet/production.
func (k *Keys) IssuedBy(issuer string) *Keys {
	k.issuer = issuer
	return k
}

var errCannotAsk = errors.New("the gateway's keys cannot be had")

func (k *Keys) known(kid string) (paseto.V4AsymmetricPublicKey, bool, bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	key, found := k.ring[kid]
	return key, found, time.Since(k.had) > keysGrowOld
}

// find is the key of this id; false when there is none.
func (k *Keys) find(kid string) (paseto.V4AsymmetricPublicKey, bool, error) {
	key, found, old := k.known(kid)
	if k.url == "" {
		return key, found, nil
	}
	if found {
		if old {
			// Beside the call: a gateway that is away for a while does not stop the provider.
			go func() { _ = k.ask() }()
		}
		return key, true, nil
	}
	err := k.ask()
	key, found, _ = k.known(kid)
	if !found && err != nil {
		return key, false, fmt.Errorf("%w: %w", errCannotAsk, err)
	}
	return key, found, nil
}

// ask asks the gateway unless it was asked just now. Gives what went wrong the last time.
func (k *Keys) ask() error {
	k.asking.Lock()
	defer k.asking.Unlock()
	if !k.asked.IsZero() && time.Since(k.asked) < askAgainAfter {
		return k.problem
	}
	k.asked = time.Now()
	ring, err := k.fetch()
	k.problem = err
	if err != nil {
		where, _ := url.Parse(k.url)
		slog.Warn("the gateway's keys cannot be had", "url", where.Redacted(), "problem", err)
		return err
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.ring, k.had = ring, time.Now()
	return nil
}

func (k *Keys) fetch() (ring, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	var published struct {
		Keys []struct {
			Public string `json:"public"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&published); err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(published.Keys))
	for _, key := range published.Keys {
		texts = append(texts, key.Public)
	}
	return ringOf(texts)
}

func ringOf(publicKeys []string) (ring, error) {
	keys := ring{}
	for _, text := range publicKeys {
		text = strings.TrimSpace(text)
		key, err := publicKey(text)
		if err != nil {
			return nil, fmt.Errorf("`%.80s` is no public key of version 4: it must begin with `k4.public.`", text)
		}
		keys[kidOf(text)] = key
	}
	return keys, nil
}

func publicKey(text string) (paseto.V4AsymmetricPublicKey, error) {
	encoded, found := strings.CutPrefix(text, "k4.public.")
	if !found {
		return paseto.V4AsymmetricPublicKey{}, errors.New("of another kind")
	}
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return paseto.V4AsymmetricPublicKey{}, err
	}
	return paseto.NewV4AsymmetricPublicKeyFromBytes(data)
}

// kidOf is the id of a key by PASERK: k4.pid. and 33 bytes of BLAKE2b over "k4.pid." and the key's own text.
func kidOf(public string) string {
	hash, err := blake2b.New(33, nil)
	if err != nil {
		return ""
	}
	hash.Write([]byte("k4.pid." + public))
	return "k4.pid." + base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
}
