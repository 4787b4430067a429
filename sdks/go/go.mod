module guichet.dev/guichet

go 1.24.0

require (
	aidanwoods.dev/go-paseto v1.6.0
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
	golang.org/x/crypto v0.46.0
	golang.org/x/text v0.32.0
)

require (
	aidanwoods.dev/go-result v0.3.1 // indirect
	golang.org/x/sys v0.39.0 // indirect
)
