// Package guichet is for whoever owns an action of Guichet: declare it, write the function that performs it, serve it.
//
//	type Hello struct {
//		Name string `json:"name" doc:"Whom to greet."`
//	}
//
//	func sayHello(ctx *guichet.Context, hello Hello) (string, error) {
//		return "Hello, " + hello.Name + ", says " + ctx.Principal().Name, nil
//	}
//
//	func main() {
//		guichet.New("greeter").Action("say-hello", guichet.Do(sayHello)).Approval(guichet.Team("dba")).MustServe()
//	}
//
// The types become the OpenAPI document; the gateway makes a command, a form and a tool of it. The SDK proves that a call comes
// from the gateway ([Keys]), checks the input against the type's JSON Schema, answers a repeated call with the first answer,
// and finishes a change whose caller went away.
//
// It decides nothing: whether a person may do this, and who must approve, is settled before the call arrives. The whole of what
// it shares with the gateway is docs/provider-protocol.md. Begin reading at [New], then call.go: the way of one call.
package guichet
