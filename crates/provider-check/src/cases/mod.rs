//! The list of all cases, in the order in which they are tried. Each is a function beside its kind.

mod changes;
mod document;
mod ending;
mod inputs;
mod keys;
mod memory;
mod plans;
mod registering;
mod steps;
mod streams;
mod tokens;

use futures_util::future::BoxFuture;

use crate::{Kit, answer::Not};

/// What a case ends in.
pub(crate) type Ended = Result<(), Not>;

/// One case as it is listed.
pub(crate) struct Listed {
    pub(crate) name: &'static str,
    pub(crate) checks: &'static str,
    pub(crate) section: &'static str,
    pub(crate) why: &'static str,
    pub(crate) run: for<'k> fn(&'k Kit) -> BoxFuture<'k, Ended>,
}

macro_rules! cases {
    ($($section:literal { $($name:literal, $room:ident :: $case:ident, $checks:literal, $why:literal;)* })*) => {
        /// All of them.
        pub(crate) const ALL: &[Listed] = &[$($(Listed {
            name: $name,
            checks: $checks,
            section: $section,
            why: $why,
            run: |kit| Box::pin($room::$case(kit)),
        },)*)*];
    };
}

cases! {
    "The document" {
        "document-read", document::is_read,
            "the document is OpenAPI 3.1, and every operation in it can be offered",
            "what the gateway's reader does not understand, nobody can call";
        "document-etag", document::has_etag,
            "the document has an ETag, and If-None-Match with it is answered 304 without a body",
            "the gateway asks often, and reads it only when it is new";
        "document-named", document::is_named,
            "Guichet-Document on an answer is the document's ETag",
            "with another value the gateway would read the document after each call";
        "unknown-path", document::unknown_path,
            "what the document does not name is 404, as a problem",
            "a gateway with an older document must learn that nothing was done";
    }
    "A call" {
        "token-good", tokens::good,
            "a call with the token of its gateway is performed",
            "everything else rests on it; a provider asks for the keys at GUICHET_GATEWAY/v1/keys";
        "token-of-a-read-again", tokens::again,
            "a read's token holds for several calls",
            "the gateway reuses it for 30 s";
        "token-missing", tokens::missing, "a call without a token is 401", "nobody but the gateway may call";
        "token-garbled", tokens::garbled,
            "what is no token of PASETO v4.public is 401",
            "a token of another version, kind or form proves nothing";
        "token-altered", tokens::altered, "a token whose claims were altered is 401", "the signature is over all of it";
        "token-other-key", tokens::other_key,
            "a token of a key that the gateway does not publish is 401",
            "whoever can make a key could call otherwise";
        "token-forged", tokens::forged,
            "a token under the name of the gateway's key, signed by another, is 401",
            "`kid` says which key to try, and proves nothing";
        "token-unnamed-key", tokens::unnamed_key,
            "a token without `kid` in its footer is 401",
            "which key it was is part of the protocol; trying all of them hides that a key was withdrawn";
        "token-expired", tokens::expired, "a token that has expired is 401", "who finds one in a log must not use it";
        "token-future", tokens::future, "a token that does not hold yet is 401", "`nbf` says from when on it holds";
        "token-clocks-apart", tokens::clocks_apart,
            "two seconds between the clocks of gateway and provider are no harm",
            "no two clocks agree; up to 5 s are taken";
        "token-other-provider", tokens::other_provider,
            "a token for another provider is 401",
            "one provider could call another with the tokens it gets";
        "token-other-action", tokens::other_action,
            "a token for another operation is 401",
            "a read's token must not do a change";
        "token-other-input", tokens::other_input,
            "a change whose input is not the one the token names is 401 and is not done",
            "what was approved is one input";
        "token-other-run", tokens::other_run,
            "a change whose Idempotency-Key is not the run of the token is 401 and is not done",
            "one token could do it many times otherwise";
        "token-without-input", tokens::without_input,
            "a change whose token names no input is 401 and is not done",
            "a read's claims must not do a change";
        "token-without-run", tokens::without_run,
            "a change whose token names no run is 401 and is not done",
            "a read's claims must not do a change";
        "keys-asked-seldom", keys::asked_seldom,
            "tokens of unknown keys make the provider ask for keys not more than once in 10 s",
            "strangers could have it flood its gateway";
        "mode-unknown", changes::unknown_mode,
            "a Guichet-Mode that is not known is refused, and nothing is done",
            "a mode that comes with a later protocol must not be taken for «do it»";
        "who-asks", inputs::who_asks,
            "the action is told who asks, of what kind, in which teams, through which agent, and where",
            "what is done in a name must be told in it";
        "deadline", inputs::deadline,
            "a read ends when Guichet-Deadline-Ms is over, with a problem",
            "nobody waits any longer, and the work would go on for nobody";
    }
    "The flat input" {
        "input-texts", inputs::texts,
            "texts from path and query become what the schema asks for",
            "path and query carry text alone";
        "input-characters", inputs::characters,
            "any character comes through path, query and body as it was sent",
            "a name with a slash is another name than one without";
        "input-numbers", inputs::numbers,
            "the digest of an input with all kinds of numbers, names and characters comes out as the gateway's",
            "what is digested is written in one way only: see «Canonical JSON»";
        "input-wrong", inputs::wrong,
            "an input that is wrong is 422 with a pointer to each wrong member, and nothing is done",
            "people are shown which flag or field to mend";
        "input-missing", inputs::missing, "a member that is missing is 422", "the action could not do what is meant";
        "input-unknown", inputs::unknown,
            "a member that the input does not have is 422, in the body and in the query",
            "a misspelt member must be told, not dropped";
        "input-not-json", inputs::not_json, "a body that is no JSON is 400 or 422", "it cannot be read";
        "input-too-large", inputs::too_large,
            "a body of 2 MiB is 413, and nothing is done",
            "who sends more than is taken must not fill the memory";
    }
    "An answer" {
        "change-done", changes::done, "a change is done once and its result is JSON", "this is what it is for";
        "change-null", changes::null, "a change without a result is 204, or 200 with null", "«done» without a result";
        "change-again", changes::again,
            "the same Idempotency-Key again gets the same answer, and it is done once",
            "the gateway calls again when it cannot know whether the first call arrived";
        "change-again-meanwhile", changes::again_meanwhile,
            "the same Idempotency-Key while it is under way joins it, and it is done once",
            "the second call may come before the first has ended";
        "change-conflict", changes::conflict,
            "the same Idempotency-Key with another input is 409, and nothing is done",
            "a key belongs to one input";
        "change-goes-on", changes::goes_on,
            "a change goes on when its caller goes away, and whoever asks again gets its answer",
            "a gateway that dies must not leave it half done";
        "change-refused", changes::refused,
            "what the action refuses is a problem with `detail`, and `next` comes with it",
            "a problem says «not done», and why";
        "change-broken", changes::broken,
            "when the action breaks off half-way, no problem and no success is claimed",
            "nobody knows how far it came; a problem would say «not done»";
        "change-destroys", changes::destroys,
            "a DELETE with members in path and query is done",
            "its digest is over path and query together, by the names of the flat input: `query_reason`";
    }
    "An answer" {
        "plan-changes-nothing", plans::changes_nothing, "Guichet-Mode: plan changes nothing", "people have not agreed yet";
        "plan-shape", plans::shape,
            "a plan has a sentence, and facts with names of their own",
            "a yes is held against the facts by their names";
        "plan-facts-typed", plans::facts_typed,
            "facts that policies may read (`facts`) are of the types that the document declares",
            "the gateway refuses what it cannot show to its policies";
        "plan-same-twice", plans::same_twice,
            "a plan made twice is the same but for facts that move",
            "anything else voids the approval when it runs";
        "plan-refused", plans::refused, "what cannot be done is refused when it is planned, as a 4xx problem", "nobody should approve it";
        "plan-bound", plans::bound, "`bound` comes back to the action in Guichet-Plan", "it acts on this and on nothing else";
        "plan-token-other-input", plans::other_input,
            "a plan whose token names another input is 401",
            "what is planned is what was asked for";
    }
    "An answer" {
        "stream-told", streams::told,
            "a long action tells log, progress and step as the page says, and exactly one outcome, the last",
            "after the outcome nobody listens; without one the end is unknown";
        "stream-failed", streams::failed, "a long action that fails ends with `failed` and a problem", "a stream has its status at its end";
        "stream-again", streams::again, "the same Idempotency-Key again tells the same end, and it is done once", "as for every change";
        "stream-goes-on", streams::goes_on, "a long action goes on when its caller goes away", "as for every change";
    }
    "Long runs" {
        "steps-noted", steps::noted,
            "a step that is done is told as done, and the stream ends with `noted`",
            "it is not durable before the gateway calls again";
        "steps-to-the-end", steps::to_the_end,
            "a run goes on step by step to its outcome, and each step is done once",
            "the journal says what is done";
        "steps-elsewhere", steps::elsewhere,
            "a process that never heard of the run does what the journal does not name, and gives the same result",
            "it may be another process each time";
        "steps-told-again", steps::told_again,
            "a step that the journal does not name is told again by who did it, and not done again",
            "the gateway may have died before it was durable";
        "steps-journal-forged", steps::journal_forged, "a journal that the token does not name is 401, and nothing is done", "a forged step would be taken as done";
        "steps-journal-where-none", steps::journal_where_none, "a journal for an action that is not resumable is refused", "its body would be taken for something else";
        "steps-pause", steps::pause, "a pause ends the call with `waiting`, goes on after `until`, and not before", "nothing is held meanwhile";
        "steps-undone", steps::undone, "when a step fails, what was done is undone in reverse, and the outcome is `failed`", "the journal tells how far it came";
        "steps-not-undone", steps::not_undone, "what cannot be undone is told in the outcome, and the rest is undone", "somebody must look at it";
        "steps-undone-elsewhere", steps::undone_elsewhere,
            "a process that takes over while it is undone does not try the failed step again, and undoes each thing once",
            "that it failed is in the journal before anything is undone";
        "steps-cancelled", steps::cancelled, "with Guichet-Cancel nothing new is begun, what was done is undone, and the outcome is `cancelled`", "only that outcome says that it stopped";
        "steps-cancelled-pause", steps::cancelled_pause, "Guichet-Cancel ends a pause", "nobody waits for hours to stop";
    }
    "Long runs" {
        "outcome-unheard", memory::unheard, "Guichet-Mode: outcome of a run it never heard of says so, and begins nothing", "the question must not be the deed";
        "outcome-ended", memory::ended, "Guichet-Mode: outcome of a run that ended tells its outcome", "the gateway settles the run by it";
        "outcome-under-way", memory::under_way, "Guichet-Mode: outcome of a run under way says so", "the gateway asks again";
        "outcome-token", memory::token, "Guichet-Mode: outcome with a token for another run is 401", "what became of a run is not for everybody";
        "cancel-unheard", memory::cancel_unheard, "Guichet-Mode: cancel of a run it never heard of begins nothing", "the run might come after its cancel";
        "cancel-under-way", memory::cancel_under_way, "Guichet-Mode: cancel reaches a long action under way, which ends as `cancelled`", "this is how people stop it";
    }
    "Registering" {
        "register-said", registering::registers,
            "a provider with GUICHET_TOKEN registers under the name of its document: instance, url, document, lease",
            "the gateway calls it there, and believes its document";
        "register-again", registering::again,
            "it says so again at about a third of the lease, as the same instance",
            "one lost heartbeat must not make it absent";
        "register-refused", registering::refused,
            "a gateway that says no is asked again soon, and calls are answered meanwhile",
            "it may say yes when its policies are mended";
        "register-unheard", registering::unheard,
            "a gateway that does not answer is told again soon",
            "when it was restarted, all its providers are back within one such round";
        "register-redirect", registering::pointed_elsewhere,
            "a redirect is not followed",
            "the token would go to whoever the answer names";
    }
    "A call" {
        "keys-not-there", keys::not_there,
            "a token of an unknown key while the keys cannot be had is 503 `provider-busy`, as a problem",
            "the gateway tries another instance, and then the run again; a 401 or another problem would end it";
        "keys-turned", keys::turned, "a token of a key that is newly published is believed at once", "gateways turn their keys";
    }
    "The provider's process" {
        "stop-finishes", ending::finishes, "a provider that is told to stop (SIGTERM) finishes a change under way, and ends", "a deployment must leave nothing unknown";
    }
    "Registering" {
        "register-leaves", registering::takes_leave,
            "at its end it takes leave before it stops to answer, answers for two seconds more, and finishes that too",
            "other gateways hear of the farewell a moment later";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    #[test]
    fn every_case_has_a_name_of_its_own_and_a_heading_of_the_page() {
        let page = include_str!("../../../../docs/provider-protocol.md");
        let names: BTreeSet<&str> = ALL.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), ALL.len());
        for case in ALL {
            let heading = format!("\n## {}\n", case.section);
            assert!(page.contains(&heading), "{}: the page has no part «{}»", case.name, case.section);
        }
    }
}
