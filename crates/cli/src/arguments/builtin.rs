//! The built-in commands. Names and flags only; what they do is in `commands/`, one file each.

use std::net::SocketAddr;

use clap::{Arg, ArgAction, Command};
use guichet_contract::{DeliveryState, RunState, Verb};

use crate::{
    arguments::{
        globals::{self, context_candidates},
        internal_action,
    },
    settings::Settings,
};

/// First words that belong to no provider.
pub(crate) const NAMES: [&str; 19] = [
    "login",
    "logout",
    "whoami",
    "context",
    "actions",
    "internal-action",
    "runs",
    "approvals",
    "reviews",
    "schedules",
    "deliveries",
    "audit",
    "policy",
    "tokens",
    "providers",
    "provider",
    "completion",
    "version",
    "help",
];

pub(crate) fn group(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

fn command(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about)
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn limit() -> Arg {
    text("limit", "COUNT", "At most so many, the newest first [default: 50]")
        .value_parser(clap::value_parser!(u16).range(1..=500))
}

fn run_id() -> Arg {
    Arg::new("run").value_name("RUN").required(true).help("Id of the run, or its last eight digits")
}

/// All of them, in the order of the help page.
pub(crate) fn commands(settings: &Settings) -> Vec<Command> {
    vec![
        login(),
        command("logout", "End the session with this gateway"),
        command("whoami", "Who you are for this gateway, and until when"),
        context(settings),
        actions(),
        internal_action::command(),
        runs(),
        approvals(),
        reviews(),
        schedules(),
        deliveries(),
        audit(),
        policy(),
        tokens(),
        command("providers", "Services that perform the actions")
            .subcommand_required(true)
            .arg_required_else_help(true)
            .disable_help_subcommand(true)
            .subcommand(command("list", "All of them, and how they are"))
            .subcommand(add_provider())
            .subcommand(
                command("describe", "All about one of them: what was left out of it, and why")
                    .arg(Arg::new("name").value_name("NAME").required(true).help("Name of the provider")),
            )
            .subcommand(
                command("remove", "Free the name of one that registered itself or was added")
                    .arg(Arg::new("name").value_name("NAME").required(true).help("Name of the provider")),
            ),
        provider(),
        command("completion", "Print the script that makes TAB work in your shell").arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(["bash", "zsh", "fish"])
                .help("bash: source <(guichet completion bash)"),
        ),
        command("version", "Version of this program, and the gateway it speaks to"),
    ]
}

fn add_provider() -> Command {
    command("add", "Make a service with an OpenAPI document a provider, after a look at what that gives")
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .required(true)
                .help("Its name: a–z, 0–9 and -; the first word of its commands"),
        )
        .arg(
            text("openapi", "URL", "Its OpenAPI document: 3.1, 3.0 or Swagger 2.0; JSON or YAML")
                .required(true),
        )
        .arg(text("url", "URL", "Where it answers [default: what the document says]"))
        .arg(text(
            "overlay",
            "FILE",
            "An OpenAPI Overlay (1.0): what is added to the document, such as x-guichet",
        ))
        .arg(text("credential", "NAME", "What it is shown: a credential in the gateway's configuration"))
        .arg(switch("dry-run", "Only look what would become usable"))
}

fn login() -> Command {
    command("login", "Sign in to a gateway, and remember it as a context")
        .arg(text("gateway", "URL", "Address of the gateway [default: that of the context]"))
        .arg(text("user", "NAME", "Your name there; asked for on a terminal"))
        .arg(switch("password-stdin", "Read the password from standard input, to the end of its first line"))
        .arg(text("name", "NAME", "Name of the context [default: the gateway's environment]"))
        .arg(switch("insecure", "Take plain http:// to any host: password and token travel in the clear"))
}

fn context(settings: &Settings) -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("Name of a context");
    let known = || name().add(context_candidates(settings));
    group("context", "Gateways by name: list, choose, add")
        .subcommand(command("list", "All contexts; the one in use is marked"))
        .subcommand(command("use", "Use this context from now on").arg(known()))
        .subcommand(command("show", "Where this command would go, and why"))
        .subcommand(
            command("add", "Name a gateway")
                .arg(name())
                .arg(text("gateway", "URL", "Its address").required(true))
                .arg(switch("insecure", "Take plain http:// to any host: the token travels in the clear")),
        )
        .subcommand(command("remove", "Forget a context, its session and its cache").arg(known()))
}

fn actions() -> Command {
    group("actions", "Find out what can be done")
        .subcommand(command("list", "All actions"))
        .subcommand(
            command("search", "Actions that answer to these words, the nearest first").arg(
                Arg::new("words").value_name("WORDS").required(true).num_args(1..).help("A few letters do"),
            ),
        )
        .subcommand(
            command("show", "All about one action").arg(
                Arg::new("action")
                    .value_name("ACTION")
                    .required(true)
                    .num_args(1..)
                    .help("Its id (postgres.cancel-query) or the words of its command"),
            ),
        )
}

fn runs() -> Command {
    let states = RunState::ALL.into_iter().filter(|state| *state != RunState::Planned);
    group("runs", "What was asked for, and what came of it")
        .subcommand(
            command("list", "Runs, the newest first")
                .arg(
                    text("state", "STATE", "Only in this state (may be repeated)")
                        .action(ArgAction::Append)
                        .value_parser(states.map(RunState::as_str).collect::<Vec<_>>()),
                )
                .arg(text("action", "ACTION", "Only of this action, by its id"))
                .arg(text("requested-by", "NAME", "Only by this principal"))
                .arg(limit()),
        )
        .subcommand(command("show", "One run with its plan, approvals and outcome").arg(run_id()))
        .subcommand(command("watch", "Follow a run to its end").arg(run_id()).arg(globals::timeout()))
        .subcommand(command("cancel", "Withdraw a run; an approver can while it cools down").arg(run_id()))
        .subcommand(
            command("comment", "Ask about a run, or answer")
                .arg(run_id())
                .arg(Arg::new("text").value_name("TEXT").required(true).help("The question or the answer")),
        )
        .subcommand(
            command("undo", "Submit what undoes a run that succeeded, where its action names that")
                .arg(run_id())
                .args(globals::waiting()),
        )
}

fn reviews() -> Command {
    group("reviews", "Runs that went on without approval, until somebody else has looked at them")
        .subcommand(
            command("list", "Open reviews, the most urgent first")
                .arg(switch("overdue", "Only those that should have been closed by now")),
        )
        .subcommand(command("show", "One run and its review").arg(run_id()))
        .subcommand(
            command("close", "Say what you found; --reason is required, and never one's own").arg(run_id()),
        )
}

fn schedules() -> Command {
    let which =
        || Arg::new("schedule").value_name("NAME").required(true).help("Name of the schedule, or its id");
    let create = command("create", "Have an action performed at set times, approved once")
        .arg(text("name", "NAME", "What people call it: letters, digits, dashes"))
        .arg(text("at", "EXPRESSION", "Minute, hour, day of the month, month, day of the week; or @daily and the like"))
        .arg(text("zone", "ZONE", "IANA time zone of the expression [default: UTC]"))
        .arg(text("until", "DATE", "The end: a date or a moment; needed where approval is, at most 366 days ahead"))
        .arg(
            text("missed", "skip|once", "What becomes of times at which no gateway was there [default: skip]")
                .value_parser(["skip", "once"])
                .hide_possible_values(true),
        )
        .arg(what("ACTION", "An action's id or words, with its flags or --input JSON"))
        .after_help(
            "Examples:\n  guichet schedules create --name nightly --at \"0 3 * * 1-5\" --zone Europe/Paris \\\n    \
             --until 2026-12-31 orders purge-queue --queue returns --reason \"keeps it small\"\n  \
             guichet schedules create orders purge-queue --queue returns --name hourly --at @hourly\n\n\
             A time whose run of before has not ended is left out.",
        );
    group("schedules", "What is done at set times: made, approved once, halted")
        .subcommand(create)
        .subcommand(command("list", "All that you may see, with their next time"))
        .subcommand(
            command("show", "One schedule: its next times, what it does, what came of the last").arg(which()),
        )
        .subcommand(command("approve", "Show the card and say yes to each of its runs").arg(which()))
        .subcommand(command("reject", "Say no; --reason is required").arg(which()))
        .subcommand(command("pause", "Halt it; those who may approve it can too").arg(which()))
        .subcommand(command("resume", "Let it go on with its next time").arg(which()))
        .subcommand(command("delete", "Remove it; its runs and records stay").arg(which()))
}

fn deliveries() -> Command {
    let channel = || text("channel", "NAME", "Only through this channel");
    let since =
        || text("since", "TIME", "Only of what happened not before: 2026-11-21T08:00:00Z, or 2h, 7d ago");
    let id = |help: &'static str| Arg::new("delivery").value_name("ID").required(true).help(help);
    group("deliveries", "What people and programs were told, try by try; telling it once more")
        .subcommand(
            command("list", "Deliveries of notices, the newest first")
                .arg(channel())
                .arg(
                    text("state", "STATE", "Only in this state (may be repeated)")
                        .action(ArgAction::Append)
                        .value_parser(DeliveryState::ALL.map(DeliveryState::as_str)),
                )
                .arg(text("run", "RUN", "Only of this run"))
                .arg(text("event", "ID", "Only of this event: the webhook-id that a receiver sees"))
                .arg(since())
                .arg(limit()),
        )
        .subcommand(
            command("show", "One delivery with all its tries")
                .visible_alias("describe")
                .arg(id("Id of the delivery")),
        )
        .subcommand(
            command("ping", "Send an event that tells of nothing, once, to see whether a channel works")
                .arg(text("channel", "NAME", "Through this channel, of those in the gateway's configuration").required(true))
                .after_help(
                    "Example:\n  guichet deliveries ping --channel hook\n\n\
                     It waits for what comes of it. The event is signed and logged as every other; its type is dev.guichet.ping.",
                ),
        )
        .subcommand(
            command("replay", "Send it once more under the same id; what waits is tried at once")
                .arg(
                    Arg::new("deliveries")
                        .value_name("ID")
                        .num_args(1..)
                        .required_unless_present("given-up")
                        .conflicts_with_all(["given-up", "channel", "since"])
                        .help("Ids of deliveries"),
                )
                .arg(switch("given-up", "All that were given up, 1000 at most").requires("channel"))
                .arg(channel().requires("given-up"))
                .arg(since().requires("given-up")),
        )
}

/// An action or a run, and the flags after it.
fn what(value: &'static str, help: &'static str) -> Arg {
    Arg::new("what")
        .value_name(value)
        .required(true)
        .num_args(1..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .help(help)
}

fn approvals() -> Command {
    let several = || {
        Arg::new("run")
            .value_name("RUN")
            .required(true)
            .num_args(1..)
            .help("Ids of runs, or their last eight digits")
    };
    group("approvals", "What waits for a yes or a no")
        .subcommand(
            command("list", "Runs that wait for you")
                .arg(switch("all", "Also those that wait for others"))
                .arg(limit()),
        )
        .subcommand(command("show", "The card of one run: what will happen, who asks, why").arg(run_id()))
        .subcommand(command("approve", "Show the card and say yes to exactly that").arg(several()))
        .subcommand(command("reject", "Say no; --reason is required").arg(several()))
}

fn audit() -> Command {
    group("audit", "The audit trail: search, export, verify")
        .subcommand(
            command("list", "Records, the newest first")
                .arg(text("principal", "NAME", "Only by this principal"))
                .arg(text("action", "ACTION", "Only of this action, by its id"))
                .arg(text("resource", "RESOURCE", "Only on this resource and what lies under it"))
                .arg(text("owner", "TEAM", "Only on what this team owns"))
                .arg(text("text", "WORDS", "Only with these words in reason, detail, problem or input"))
                .arg(text("run", "RUN", "Only of this run"))
                .arg(text("trace", "ID", "Only of this trace, 32 hexadecimal digits"))
                .arg(text("verb", "VERB", "Only of this kind").value_parser(Verb::ALL.map(Verb::as_str)))
                .arg(
                    text("verdict", "VERDICT", "Only with this verdict")
                        .value_parser(["allowed", "refused", "failed", "unknown"]),
                )
                .arg(text("since", "TIME", "Not before: 2026-11-21T08:00:00Z, or 2h, 7d ago"))
                .arg(text("until", "TIME", "Before"))
                .arg(limit()),
        )
        .subcommand(command("export", "Print every record exactly as it was hashed, one a line").arg(
            text("from", "INDEX", "From this record on [default: 0]").value_parser(clap::value_parser!(u64)),
        ))
        .subcommand(
            command("verify", "Prove that the trail is whole: nothing edited, removed, reordered, cut off")
                .arg(
                    text("file", "FILE", "Verify this export instead of the gateway's trail")
                        .requires_all(["checkpoint", "key"]),
                )
                .arg(text("checkpoint", "FILE", "Signed checkpoint that belongs to it").requires("file"))
                .arg(
                    text("archive", "FOLDER", "Verify this archive of pruned records")
                        .requires("key")
                        .conflicts_with_all(["file", "against", "tiles"]),
                )
                .arg(
                    text(
                        "key",
                        "KEY|@FILE",
                        "Key that signs checkpoints (may be repeated) [default: as first met]",
                    )
                    .action(ArgAction::Append),
                )
                .arg(
                    text(
                        "against",
                        "FILE",
                        "Also hold the trail against this earlier checkpoint (may be repeated)",
                    )
                    .action(ArgAction::Append),
                )
                .arg(
                    text("at-least", "COUNT", "Complain when fewer records than this are signed")
                        .value_parser(clap::value_parser!(u64)),
                )
                .arg(
                    switch("tiles", "Say which entry was changed, by the ledger's tiles")
                        .conflicts_with("file"),
                ),
        )
        .subcommand(command("checkpoint", "Print the newest signed checkpoint"))
}

fn policy() -> Command {
    let as_user = |help: &'static str| text("as", "USER", help);
    let resource = || text("resource", "RESOURCE", "On this, where the input is not known");
    group("policy", "Why something is allowed or not, who can do it, who can approve it")
        .subcommand(
            command("explain", "Which policies decide, what would be needed, and by whom")
                .arg(as_user(
                    "For another user; needs the right to audit [default: you, or who asked for the run]",
                ))
                .arg(resource())
                .arg(what(
                    "RUN|ACTION",
                    "Id of a run; or an action's id or words, with its flags or --input JSON",
                )),
        )
        .subcommand(
            command("who-can", "Everybody who can do this; needs the right to audit")
                .arg(resource())
                .arg(what("ACTION", "An action's id or words, with its flags or --input JSON")),
        )
        .subcommand(
            command("who-can-approve", "Everybody who can say yes to this; needs the right to audit")
                .arg(as_user("When this user asks [default: you, or who asked for the run]"))
                .arg(resource())
                .arg(what(
                    "RUN|ACTION",
                    "Id of a run; or an action's id or words, with its flags or --input JSON",
                )),
        )
        .subcommand(
            command("simulate", "What other policies would have answered to what was recorded")
                .arg(text("policy", "DIR", "Folder of the policies to try (*.cedar)").required(true))
                .arg(
                    text("days", "DAYS", "Records of so many days [default: 7]")
                        .value_parser(clap::value_parser!(u16).range(1..=366)),
                ),
        )
}

fn provider() -> Command {
    let check = command("check", "Hold a provider to the protocol: plays the gateway and tries every case")
        .arg(
            Arg::new("url")
                .value_name("URL")
                .required_unless_present("command")
                .help("A provider that was started with GUICHET_GATEWAY=http:// and the address of --keys"),
        )
        .arg(
            text("keys", "ADDRESS", "Where the provider asks for keys meanwhile [default: 127.0.0.1:7099]")
                .value_parser(clap::value_parser!(SocketAddr)),
        )
        .arg(text("name", "NAME", "What the provider is called, where its document does not say it"))
        .arg(text("only", "WORD", "Only cases whose name contains this"))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .last(true)
                .conflicts_with("url")
                .help("Start the provider with this instead, and end it afterwards"),
        )
        .after_help(
            "Examples:\n  guichet provider check -- ./my-provider\n  GUICHET_GATEWAY=http://127.0.0.1:7099 ./my-provider &\n  \
             guichet provider check http://127.0.0.1:7100 --only token\n\n\
             What a case needs and the provider does not declare is told as skipped; docs/conformance.md has the actions\n\
             that make all of them run.",
        );
    group("provider", "For whoever writes a provider: hold it to the protocol").subcommand(check)
}

fn tokens() -> Command {
    group("tokens", "Personal tokens for scripts and tools")
        .subcommand(command("list", "Your tokens, without their text"))
        .subcommand(
            command("create", "Make a token; its text is shown once, on standard output")
                .arg(Arg::new("name").value_name("NAME").required(true).help("What it is for"))
                .arg(
                    text("expires-in", "DAYS", "Days it lives [default: 30]")
                        .value_parser(clap::value_parser!(u32).range(1..=366)),
                )
                .arg(
                    text(
                        "scope",
                        "SCOPE",
                        "Limit it to this: read, change, destroy, approve or register (may be repeated)",
                    )
                    .action(ArgAction::Append),
                ),
        )
        .subcommand(
            command("revoke", "Make a token worthless")
                .arg(Arg::new("id").value_name("ID").required(true).help("Id of the token")),
        )
}
