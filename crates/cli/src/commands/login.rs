//! `guichet login`: opens a session, remembers gateway and token, brings the catalogue.

use clap::ArgMatches;
use guichet_client::Secret;

use crate::{
    cache::{self, Asking},
    commands::{Cx, text},
    credentials::{Credential, Credentials},
    exit::Exit,
    failure::Failure,
    printer::{Printer, text::moment},
    prompt,
    settings::{self, Context, ContextEntry},
};

pub(crate) fn run(cx: &Cx, matches: &ArgMatches, printer: &Printer) -> Result<Exit, Failure> {
    let target = target(cx, matches)?;
    // An address that cannot be used is told before anybody types a password.
    let client = settings::connect(&target, None)?;
    let user = match text(matches, "user") {
        Some(user) => user.to_owned(),
        None if prompt::is_possible() => {
            prompt::ask_optional("User:")?.ok_or_else(|| Failure::usage("a name is needed to sign in"))?
        }
        None => {
            return Err(
                Failure::usage("--user is missing").next("guichet login --user NAME --password-stdin")
            );
        }
    };
    let password = password(matches, &user, &target.gateway)?;
    super::runtime()?.block_on(async {
        let session = client.sign_in(&user, &password).await?;
        let context = remember(cx, matches, target, &session.environment)?;
        let credential = Credential {
            user: session.principal.name.clone(),
            token: session.token.clone(),
            expires_at: session.expires_at,
        };
        Credentials::keep(&cx.settings.config_dir, &context.gateway, credential)?;
        printer.outcome(
            Exit::Done,
            &format!(
                "signed in: {} at {} ({}), until {}; context `{}` is in use",
                session.principal,
                session.environment,
                context.gateway,
                moment(session.expires_at),
                context.name
            ),
        );
        if cx.settings.has_env_token() {
            printer
                .note("note: GUICHET_TOKEN is set and goes before this session; unset it to use the session");
        }
        let client = client.with_token(Some(session.token));
        if let Err(failure) = cache::refresh(&client, &cx.settings, &context, Asking::IfNewer).await {
            printer.note(&format!("note: the catalogue could not be brought: {}", failure.summary()));
        }
        Ok(Exit::Done)
    })
}

fn target(cx: &Cx, matches: &ArgMatches) -> Result<Context, Failure> {
    let mut target = match text(matches, "gateway") {
        Some(gateway) => settings::of_gateway(&cx.settings.config, gateway),
        None => cx.settings.context()?.clone(),
    };
    target.insecure |= matches.get_flag("insecure");
    Ok(target)
}

fn password(matches: &ArgMatches, user: &str, gateway: &str) -> Result<Secret, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("the password cannot be read: {error}"));
    if matches.get_flag("password-stdin") {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(failed)?;
        let password = line.trim_end_matches(['\r', '\n']);
        return if password.is_empty() {
            Err(Failure::usage("standard input holds no password"))
        } else {
            Ok(Secret::new(password))
        };
    }
    if !prompt::is_possible() {
        return Err(Failure::usage("there is no terminal to ask for the password")
            .next("guichet login --user NAME --password-stdin < FILE"));
    }
    rpassword::prompt_password(format!("Password of {user} at {gateway}: ")).map(Secret::new).map_err(failed)
}

/// Names the gateway: as told, as before, else after its environment.
fn remember(cx: &Cx, matches: &ArgMatches, target: Context, environment: &str) -> Result<Context, Failure> {
    let mut config = cx.settings.config.clone();
    let is_named = config.contexts.contains_key(&target.name);
    let environment_is_free = settings::check_name(environment).is_ok()
        && config.contexts.get(environment).is_none_or(|entry| entry.gateway == target.gateway);
    let name = match text(matches, "name") {
        Some(name) => name.to_owned(),
        None if is_named => target.name.clone(),
        None if environment_is_free => environment.to_owned(),
        None => target.name.clone(),
    };
    settings::check_name(&name)?;
    let entry = ContextEntry { gateway: target.gateway.clone(), insecure: target.insecure };
    config.contexts.insert(name.clone(), entry);
    config.current = Some(name.clone());
    cx.settings.save(&config)?;
    Ok(Context { name, ..target })
}
